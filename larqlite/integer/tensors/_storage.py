"""Which float type holds given integers exactly, and how they saturate.

Integers are stored in float tensors, because gradients pass through these only. A
float32 holds every integer up to 2^24 exactly, a float64 up to 2^53; which of the two is
needed follows from a bound on the magnitudes that is known before anything runs.
"""

from __future__ import annotations

import tensorflow as tf

from larqlite.integer.tensors import _rounding, _saturation
from larqlite.primitives import (
    FLOAT64_LIMIT,
    float_type,
    float_type_with_halves,
    signed_codes,
)

MAX_VALUE_BITS = 52
UNKNOWN_LIMIT = FLOAT64_LIMIT
"""What is said of magnitudes of which nothing is known."""


def dtype_for(limit: int) -> tf.DType:
    """The smallest float type that holds every integer up to `limit` exactly."""
    return tf.as_dtype(float_type(limit))


def rounding_dtype_for(limit: int) -> tf.DType:
    """The smallest one in which `floor(v * 2^-s + 0.5)` is exact for `|v| <= limit`."""
    return tf.as_dtype(float_type_with_halves(limit))


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
    lowest, highest = signed_codes(value_bits)
    if limit <= highest:
        return stored(values, limit), limit
    limit = -lowest
    dtype = dtype_for(limit)
    if dtype == tf.float64:
        values = tf.cast(values, dtype)
    _saturation.count_saturated(values, lowest, highest, "accumulator")
    return stored(_rounding.clip(values, lowest, highest), limit), limit
