"""The default scheme of 8 bits and its parts, under the names of TFMOT."""

from __future__ import annotations

from larqlite.qat.passes import QuantizeLayoutTransform
from larqlite.qat.schemes import Default8BitQuantizeScheme, DefaultQuantizeRegistry

__all__ = [
    "Default8BitQuantizeLayoutTransform",
    "Default8BitQuantizeRegistry",
    "Default8BitQuantizeScheme",
]


class Default8BitQuantizeRegistry(DefaultQuantizeRegistry):
    """The registry of `Default8BitQuantizeScheme`.

    Args:
        disable_per_axis: one range for all channels of a convolution's kernel.

    Example:
        >>> registry = lq.qat.default_8bit.Default8BitQuantizeRegistry()
        >>> config = registry.get_quantize_config(tf_keras.layers.Conv2D(2, 3))
        >>> config.weights["kernel"].per_axis
        True
    """

    def __init__(self, disable_per_axis: bool = False):
        super().__init__(Default8BitQuantizeScheme(disable_per_axis))


class Default8BitQuantizeLayoutTransform(QuantizeLayoutTransform):
    """The passes of `Default8BitQuantizeScheme`.

    Example:
        >>> len(lq.qat.default_8bit.Default8BitQuantizeLayoutTransform().passes)
        10
    """
