"""Rounding and powers of two, exact, and with straight-through gradients.

Every function here that loses information has a gradient of 1, so that a model of
integers stays trainable.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from larqlite.integer.tensors._constants import is_only_signature_of

FRAC_BITS_LIMIT = 60
"""Fractional bits are kept within plus and minus this number: the sum of two of them
is still the exponent of a float32 power of two."""

_FLOAT_FORMATS = {
    tf.float32: (tf.int32, 23, 127),
    tf.float64: (tf.int64, 52, 1023),
}


def straight_through(operation):
    """The elementwise `operation` of one tensor, with a gradient of 1."""

    @tf.custom_gradient
    def rounded(x):
        return operation(x), lambda upstream: upstream

    def of_tensor(x):
        return x if is_only_signature_of(x) else rounded(x)

    return of_tensor


round_half_even = straight_through(tf.round)
floor = straight_through(tf.floor)
ceil = straight_through(tf.math.ceil)
round_half_up = straight_through(lambda x: tf.floor(x + tf.constant(0.5, x.dtype)))
"""`floor(x + 0.5)`: to the nearest integer, ties toward positive infinity."""
truncate = straight_through(lambda x: tf.sign(x) * tf.floor(tf.abs(x)))
sign = straight_through(tf.sign)


def clip(x: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """`x` limited to `[low, high]`; the gradient passes outside of it too."""
    return x if is_only_signature_of(x) else _clipper(low, high)(x)


@functools.cache
def _clipper(low: int, high: int):
    # The limits are no arguments, which TensorFlow would make tensors and copy.
    @tf.custom_gradient
    def clipped(x):
        return tf.maximum(tf.minimum(x, high), low), lambda upstream: upstream

    return clipped


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
    if is_only_signature_of(exponent):
        return tf.cast(exponent, dtype)
    integer, mantissa_bits, bias = _FLOAT_FORMATS[tf.as_dtype(dtype)]
    biased = tf.cast(exponent, integer) + bias
    return tf.bitcast(tf.bitwise.left_shift(biased, mantissa_bits), dtype)


def ceil_log2(x: tf.Tensor) -> tf.Tensor:
    r"""\(\lceil \log_2 x \rceil\) as an int32 tensor, exactly.

    Args:
        x: float32 or float64 tensor of values >= 0.

    Returns:
        int32 tensor. 0 gives the format's smallest exponent, -127 or -1023.
    """
    if is_only_signature_of(x):
        return tf.cast(x, tf.int32)
    x = x if x.dtype in _FLOAT_FORMATS else tf.cast(x, tf.float32)
    integer, mantissa_bits, bias = _FLOAT_FORMATS[x.dtype]
    rounded_up = tf.bitcast(x, integer) + (2**mantissa_bits - 1)
    exponent = tf.bitwise.right_shift(rounded_up, tf.cast(mantissa_bits, integer))
    return tf.cast(exponent - bias, tf.int32)
