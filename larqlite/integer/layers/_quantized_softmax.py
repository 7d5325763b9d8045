"""Softmax of integers by powers of two: the layers."""

from __future__ import annotations

from math import e, log2

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._quantized_shiftmax import (
    EXP_BITWIDTH,
    check_bitwidths,
    shiftmax_of_integers,
)
from larqlite.integer.layers._shiftmax import Shiftmax
from larqlite.integer.tensors import FixedPoint

__all__ = ["QuantizedShiftmax", "QuantizedSoftmax", "log2e_factor"]

MOST_LOG2E_BITS = 16


def log2e_factor(bits: int) -> int:
    """The integer that stands for the logarithm of e with so many fractional bits."""
    return round(log2(e) * 2**bits)


@quantizes(Shiftmax)
class QuantizedShiftmax(QuantizedLayer, Shiftmax):
    r"""A softmax of base two on integers, along the last axis, whose division is a shift.

    $$ p_i = \frac{2^{\lfloor x_i \rfloor}}
       {2^{\mathrm{round}(\log_2 \sum_k 2^{\lfloor x_k \rfloor})}} $$

    with `exp_bitwidth` fractional bits, what is below them cut off. The sum has twice as
    many and is exact; over so many elements that the buffer would overflow, it takes
    fewer of them instead. Per-axis inputs are aligned in the buffer first.

    Input: FixedPoint `(..., n)`. Output: FixedPoint of that shape, `exp_bitwidth + 1`
    value bits, `exp_bitwidth` fractional bits.

    Args:
        quant_config: dictionary with `exp_bitwidth` (10) and `buffer_bitwidth`, the bits
            of the sum (32), more than twice as many.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: a buffer that is too small.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[0, 5, 15]], value_bits=7, frac_bits=2)
        >>> p = lq.integer.layers.QuantizedShiftmax()(x)
        >>> p.values.numpy()
        array([[ 128.,  256., 1024.]], dtype=float32)
        >>> p.to_float().numpy()
        array([[0.125, 0.25 , 1.   ]], dtype=float32)

    References:
        Cardarilli et al., A pseudo-softmax function for hardware-based high speed image
        classification, https://doi.org/10.1038/s41598-021-94691-7
    """

    extra_config = {"exp_bitwidth": EXP_BITWIDTH}
    buffer_cap = 53
    accepts = (FixedPoint,)

    def __init__(self, quant_config: dict | None = None, **kwargs):
        super().__init__(quant_config=quant_config, **kwargs)
        check_bitwidths(
            self.quant_config["exp_bitwidth"],
            self.quant_config["buffer_bitwidth"],
            self.where,
        )

    @property
    def output_precision(self) -> int:
        """The bits of the powers of two."""
        return self.quant_config["exp_bitwidth"] + 1

    def compute(self, inputs):
        """The shiftmax along the last axis."""
        return shiftmax_of_integers(inputs, where=self.where, **self.quant_config)


@quantizes(tf_keras.layers.Softmax)
class QuantizedSoftmax(QuantizedLayer, tf_keras.layers.Softmax):
    r"""Softmax as a shiftmax: an approximation by powers of two.

    $$ p = \mathrm{shiftmax}(x \cdot c \cdot 2^{-b}), \qquad
       c = \mathrm{round}(2^b \log_2 e) $$

    with $b$ = `log2e_bits`, because $e^x = 2^{x \log_2 e}$. With 8 bits $c$ is 369, which
    is 0.09% less than it should be. The two roundings of the shiftmax, down of the
    exponent and to nearest of the sum's logarithm, remain: each $p_i$ is a power of two,
    between 0.35 and 2.83 times the base-two softmax of $x \cdot c \cdot 2^{-b}$ as far as
    `exp_bitwidth` reaches. The order of the logits is kept, with ties among those that
    are less than $\ln 2$ apart. `log2e_bits=0` leaves the multiplication out: a softmax
    of base two.

    A softmax at the very end of a model stays float when the model is quantized, since the
    order of the classes, and the loss of more training, need no approximation.

    Input: FixedPoint; output: FixedPoint of that shape, as `QuantizedShiftmax`.

    Args:
        axis: the axis, or list of axes, that sum up to about one.
        quant_config: dictionary with `log2e_bits` (8), `exp_bitwidth` (10) and
            `buffer_bitwidth` (32).
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: a buffer that is too small, or `log2e_bits` outside of 0 to 16.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[0, 1, 4]], value_bits=7, frac_bits=0)
        >>> lq.integer.layers.QuantizedSoftmax()(x).to_float().numpy().round(3)
        array([[0.031, 0.062, 1.   ]], dtype=float32)

    References:
        Cardarilli et al., A pseudo-softmax function for hardware-based high speed image
        classification, https://doi.org/10.1038/s41598-021-94691-7
    """

    extra_config = {"exp_bitwidth": EXP_BITWIDTH, "log2e_bits": 8}
    buffer_cap = 53
    accepts = (FixedPoint,)
    float_at_the_end = True

    def __init__(self, axis=-1, quant_config: dict | None = None, **kwargs):
        super().__init__(axis=axis, quant_config=quant_config, **kwargs)
        bits = self.quant_config["log2e_bits"]
        if not isinstance(bits, int) or not 0 <= bits <= MOST_LOG2E_BITS:
            raise ArgumentError(
                f"{self.where}: log2e_bits={bits!r} is not a whole number from 0 to "
                f"{MOST_LOG2E_BITS}.\n  Fix: leave it out; 8 is the default."
            )
        check_bitwidths(
            self.quant_config["exp_bitwidth"],
            self.quant_config["buffer_bitwidth"],
            self.where,
        )

    @staticmethod
    def config_from(layer) -> dict:
        """The configuration of a softmax that is written as an Activation layer, too."""
        config = layer.get_config()
        config.pop("activation", None)
        return config

    @property
    def output_precision(self) -> int:
        """The bits of the powers of two."""
        return self.quant_config["exp_bitwidth"] + 1

    def compute(self, inputs):
        """The softmax along the axis."""
        settings = dict(self.quant_config)
        bits = settings.pop("log2e_bits")
        if bits:
            factor = log2e_factor(bits)
            x = self.in_buffer(inputs)
            constant = FixedPoint(
                tf.constant(float(factor)), bits + 1, bits, limit=factor
            )
            inputs = x * constant
        return shiftmax_of_integers(inputs, self.axis, where=self.where, **settings)
