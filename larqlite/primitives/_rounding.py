"""Rounding, and powers of two to the bit of the float format, in TensorFlow.

What is named "straight-through" below has a gradient of 1, so that a model of integers
stays trainable; the rest has that of its operations, mostly none.
"""

from __future__ import annotations

import math

import tensorflow as tf

from larqlite._gradients import custom_gradient

__all__ = [
    "ceil_log2",
    "exp2",
    "floor",
    "half_up",
    "round_half_even",
    "round_half_up",
    "round_log2",
    "sign",
    "straight_through",
    "truncate",
]

# The integer type of the same width, the bits of the mantissa, the bias of the exponent.
_FORMATS = {
    tf.float32: (tf.int32, 23, 127),
    tf.float64: (tf.int64, 52, 1023),
}


def half_up(x: tf.Tensor) -> tf.Tensor:
    """`floor(x + 0.5)`: to the nearest integer, ties toward positive infinity.

    The sum is rounded as its type rounds: exact in `float_type_with_halves`.

    >>> from larqlite.primitives import half_up
    >>> half_up(tf.constant([-2.5, -0.5, 0.5, 1.5, 1.4])).numpy().tolist()
    [-2.0, 0.0, 1.0, 2.0, 1.0]
    """
    return tf.floor(x + 0.5)


def straight_through(operation):
    """The elementwise `operation` of one tensor, with a gradient of 1.

    References:
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432
    """

    @custom_gradient
    def rounded(x):
        return operation(x), lambda upstream: upstream

    return rounded


# All of these are straight-through.
round_half_even = straight_through(tf.round)
round_half_up = straight_through(half_up)
floor = straight_through(tf.floor)
truncate = straight_through(lambda x: tf.sign(x) * tf.floor(tf.abs(x)))
sign = straight_through(tf.sign)


def exp2(exponent: tf.Tensor, dtype=tf.float32) -> tf.Tensor:
    r"""The power of two \(2^n\) of an integer tensor, exactly.

    Args:
        exponent: integer tensor, within the exponents of `dtype` (-126 to 127 for
            float32).
        dtype: `tf.float32` or `tf.float64`.

    Returns:
        Tensor of `dtype`, shape of `exponent`; built from the bits of the format
        (IEEE 754), so without any rounding.
    """
    integer, mantissa_bits, bias = _FORMATS[tf.as_dtype(dtype)]
    biased = tf.cast(exponent, integer) + bias
    return tf.bitcast(tf.bitwise.left_shift(biased, mantissa_bits), dtype)


def ceil_log2(x: tf.Tensor) -> tf.Tensor:
    r"""\(\lceil \log_2 x \rceil\) as an int32 tensor, exactly.

    Args:
        x: tensor of values >= 0, float32 or float64; others are made float32.

    Returns:
        int32 tensor. 0 gives the format's smallest exponent, -127 or -1023.
    """
    x = x if x.dtype in _FORMATS else tf.cast(x, tf.float32)
    return _exponent(x, 2 ** _FORMATS[x.dtype][1] - 1)


def round_log2(x: tf.Tensor) -> tf.Tensor:
    r"""$\mathrm{round}(\log_2 x)$ of whole numbers >= 1, exactly, as an int32 tensor.

    The bits of the mantissa above that of $\sqrt 2$ (which no float equals) carry into the
    exponent when the missing ones are added.

    Args:
        x: float32 or float64 tensor.
    """
    mantissa_bits = _FORMATS[x.dtype][1]
    root_of_two = math.isqrt(2 << 2 * mantissa_bits) + 1
    return _exponent(x, (2 << mantissa_bits) - root_of_two)


def _exponent(x: tf.Tensor, carrying: int) -> tf.Tensor:
    """The exponent of `x` when so many units were added to the last bit of its mantissa."""
    integer, mantissa_bits, bias = _FORMATS[x.dtype]
    bits = tf.bitcast(x, integer) + carrying
    exponent = tf.bitwise.right_shift(bits, tf.cast(mantissa_bits, integer))
    return tf.cast(exponent - bias, tf.int32)
