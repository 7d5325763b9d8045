"""Which float type holds given integers exactly, and how they saturate.

Integers are stored in float tensors, because gradients pass through these only. A
float32 holds every integer up to 2^24 exactly, a float64 up to 2^53; which of the two is
needed follows from a bound on the magnitudes that is known before anything runs.
"""

from __future__ import annotations

import tensorflow as tf

from larqlite.integer.tensors import _rounding, _saturation
from larqlite_runtime.format import EXACT

FLOAT32_LIMIT = EXACT
FLOAT64_LIMIT = 2**53
MAX_VALUE_BITS = 52
UNKNOWN_LIMIT = 2**53
"""What is said of magnitudes of which nothing is known."""


def dtype_for(limit: int) -> tf.DType:
    """The smallest float type that holds every integer up to `limit` exactly."""
    return tf.float32 if limit <= FLOAT32_LIMIT else tf.float64


def rounding_dtype_for(limit: int) -> tf.DType:
    """The smallest float type in which `floor(v * 2^-s + 0.5)` is exact for
    `|v| <= limit`: the half takes one more bit."""
    return tf.float32 if 2 * limit <= FLOAT32_LIMIT else tf.float64


def stored(values: tf.Tensor, limit: int) -> tf.Tensor:
    """`values`, which are integers of a magnitude up to `limit`, in their own dtype."""
    dtype = dtype_for(limit)
    return values if values.dtype == dtype else tf.cast(values, dtype)


def saturated(values: tf.Tensor, value_bits: int, limit: int) -> tuple[tf.Tensor, int]:
    """Values limited to `[-2^bits, 2^bits - 1]` in their own dtype, and their bound.

    Args:
        values: float tensor of integers, exact for magnitudes up to `2^value_bits`.
        value_bits: bits of the magnitude.
        limit: bound that is known of the magnitudes before.
    """
    highest = 2**value_bits - 1
    if limit <= highest:
        return stored(values, limit), limit
    limit = 2**value_bits
    dtype = dtype_for(limit)
    if dtype == tf.float64:
        values = tf.cast(values, dtype)
    _saturation.count_saturated(values, -limit, highest, "accumulator")
    return stored(_rounding.clip(values, -limit, highest), limit), limit
