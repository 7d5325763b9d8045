"""The rounding of `larqlite.primitives` for quantized tensors, and how they are clipped.

Every function here that loses information has a gradient of 1. In a call that asks for
types and shapes alone, what has no value is not computed.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from larqlite import primitives
from larqlite.integer.tensors._constants import is_only_signature_of

FRAC_BITS_LIMIT = 60
"""Fractional bits are kept within plus and minus this number: the sum of two of them
is still the exponent of a float32 power of two."""


def _of_values(operation):
    """The operation of one tensor; a tensor that is only a signature stays what it is."""

    def of_tensor(x):
        return x if is_only_signature_of(x) else operation(x)

    return of_tensor


def straight_through(operation):
    """The elementwise `operation` of one tensor, with a gradient of 1."""
    return _of_values(primitives.straight_through(operation))


round_half_even = _of_values(primitives.round_half_even)
round_half_up = _of_values(primitives.round_half_up)
floor = _of_values(primitives.floor)
truncate = _of_values(primitives.truncate)
sign = _of_values(primitives.sign)


def clip(x: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """`x` limited to `[low, high]`; the gradient passes outside of it too."""
    return x if is_only_signature_of(x) else _clipper(low, high)(x)


@functools.cache
def _clipper(low: int, high: int):
    # The limits are no arguments, which TensorFlow would make tensors and copy.
    return primitives.straight_through(lambda x: tf.maximum(tf.minimum(x, high), low))


def exp2(exponent: tf.Tensor, dtype=tf.float32) -> tf.Tensor:
    r"""\(2^n\) of an integer tensor, exactly, as `dtype`."""
    if is_only_signature_of(exponent):
        return tf.cast(exponent, dtype)
    return primitives.exp2(exponent, dtype)


def ceil_log2(x: tf.Tensor) -> tf.Tensor:
    r"""\(\lceil \log_2 x \rceil\) as an int32 tensor, exactly."""
    return tf.cast(x, tf.int32) if is_only_signature_of(x) else primitives.ceil_log2(x)
