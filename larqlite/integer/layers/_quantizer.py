"""The base of the quantizers of integer layers: a bitwidth, a sign, the checks on both."""

from __future__ import annotations

import functools
import numbers

import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._layer_classes import ToldTypes, known, register_layer
from larqlite.integer.tensors.internal import MAX_VALUE_BITS

__all__ = ["IntegerQuantizer", "Quantizer"]


@known()
@functools.partial(register_layer, name="Quantizer")
class IntegerQuantizer(ToldTypes, tf_keras.layers.Layer):
    """The base of integer layers' quantizers: `bitwidth` bits, the sign's among them.

    Signed codes lie in $[-2^{b-1}, 2^{b-1} - 1]$, unsigned ones reach $2^b - 1$.

    Args:
        bitwidth: the bits of a code, the sign's included.
        signed: whether the values have a sign.

    Raises:
        ArgumentError: `bitwidth` is not a whole number from 2 (signed) or 1 to 53
            (signed) or 52.

    >>> lq.integer.layers.IntegerQuantizer(8).value_bits
    7
    >>> lq.integer.layers.IntegerQuantizer(8, signed=False).value_bits
    8
    """

    config_keys: tuple[str, ...] = ("bitwidth", "signed")
    smallest_signed = 2

    def __init__(self, bitwidth: int, signed: bool = True, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        # What comes in is integers already, or float32: nothing is to be cast.
        self._autocast = False
        where = f'{type(self).__name__} "{self.name}"'
        smallest = self.smallest_signed if signed else 1
        whole = isinstance(bitwidth, numbers.Integral) and not isinstance(
            bitwidth, bool
        )
        largest = MAX_VALUE_BITS + bool(signed)
        if not whole or not smallest <= bitwidth <= largest:
            sign = "signed" if signed else "unsigned"
            raise ArgumentError(
                f"{where}: bitwidth={bitwidth!r} with signed={signed}, but a {sign} "
                f"bitwidth is a whole number from {smallest} to {largest}.\n"
                f"  Fix: bitwidth=8, which is usual."
            )
        self.bitwidth = int(bitwidth)
        self.signed = bool(signed)

    @property
    def value_bits(self) -> int:
        """The bits of a code without its sign."""
        return self.bitwidth - 1 if self.signed else self.bitwidth

    @property
    def output_precision(self) -> int:
        """The bits of what comes out."""
        return self.bitwidth

    @property
    def training_state(self) -> list:
        """Its ranges, which are shifts and scales in the end."""
        return list(self.weights)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        own = {key: getattr(self, key) for key in self.config_keys}
        return {**super().get_config(), **own}


# What it was called first, and is in files.
Quantizer = IntegerQuantizer
