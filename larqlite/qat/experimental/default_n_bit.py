"""The scheme of n bits and its parts, under the names of TFMOT."""

from __future__ import annotations

from larqlite.qat.passes import QuantizeLayoutTransform
from larqlite.qat.schemes import DefaultNBitQuantizeScheme, DefaultQuantizeRegistry

__all__ = [
    "DefaultNBitQuantizeLayoutTransform",
    "DefaultNBitQuantizeRegistry",
    "DefaultNBitQuantizeScheme",
]


class DefaultNBitQuantizeRegistry(DefaultQuantizeRegistry):
    """The registry of `DefaultNBitQuantizeScheme`, with its arguments.

    Example:
        >>> registry = lq.qat.experimental.default_n_bit.DefaultNBitQuantizeRegistry(
        ...     num_bits_weight=4)
        >>> config = registry.get_quantize_config(tf_keras.layers.Conv2D(2, 3))
        >>> config.weights["kernel"].num_bits
        4
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int = 8,
    ):
        super().__init__(
            DefaultNBitQuantizeScheme(
                disable_per_axis, num_bits_weight, num_bits_activation
            )
        )


class DefaultNBitQuantizeLayoutTransform(QuantizeLayoutTransform):
    """The passes of `DefaultNBitQuantizeScheme`.

    Args:
        num_bits_weight: as in TFMOT; the passes do not depend on it.
        num_bits_activation: likewise.

    Example:
        >>> n_bit = lq.qat.experimental.default_n_bit
        >>> len(n_bit.DefaultNBitQuantizeLayoutTransform(4, 4).passes)
        10
    """

    def __init__(self, num_bits_weight: int = 8, num_bits_activation: int = 8):
        super().__init__()
