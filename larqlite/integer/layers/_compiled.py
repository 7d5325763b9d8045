"""The requantization with constants, compiled into one pass over the accumulator."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.primitives import INT32_LIMIT, half_step, half_up

MOST_SHIFT = 30


def requantized_by_constants(
    values: tf.Tensor,
    limit: int,
    scales: np.ndarray,
    shift: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tf.Tensor:
    r"""\(clip(\lfloor v \cdot q \cdot 2^s + 0.5 \rfloor, low, high)\) by XLA, exactly.

    Where products fit into 32 bits, as integers:
    \((v \cdot q + 2^{-s - 1}) \gg -s\); in float64 otherwise.

    Args:
        values: integers in a float tensor.
        limit: bound of their magnitudes.
        scales: integers `q`, for each channel or for all.
        shift: `s`, negative to the right.
        low: least result.
        high: largest result.

    Returns:
        float32 tensor of integers.
    """
    right = -shift.astype(np.int64)
    in_int32 = (
        np.all(right >= 1)
        and np.all(right <= MOST_SHIFT)
        and np.all(limit * scales + half_step(right) < INT32_LIMIT)
    )
    make = _in_int32 if in_int32 else _in_float64
    return make(scales, right, low, high)(values)


def _in_int32(scales, right, low, high):
    q, s = scales.astype(np.int32), right.astype(np.int32)
    half = half_step(right).astype(np.int32)
    low, high = low.astype(np.int32), high.astype(np.int32)

    @tf.function(jit_compile=True, autograph=False)
    def requantize(values):
        products = tf.cast(values, tf.int32) * q + half
        result = tf.bitwise.right_shift(
            products, tf.broadcast_to(s, tf.shape(products))
        )
        return tf.cast(tf.clip_by_value(result, low, high), tf.float32)

    return requantize


def _in_float64(scales, right, low, high):
    factor = scales.astype(np.float64) * 2.0**-right

    @tf.function(jit_compile=True, autograph=False)
    def requantize(values):
        rounded = half_up(tf.cast(values, tf.float64) * factor)
        return tf.cast(tf.clip_by_value(rounded, low, high), tf.float32)

    return requantize
