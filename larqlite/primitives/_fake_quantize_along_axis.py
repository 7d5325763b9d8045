"""Fake quantization with a range for each index of the last axis, at any rank."""

from __future__ import annotations

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.primitives._fake_quantize_gradient import linear
from larqlite.primitives._qparams import levels_of, step_of, steps_of

__all__ = ["centred_along_axis", "quantized_along_axis"]


def quantized_along_axis(
    x, minimum, maximum, bits: int, narrow_range: bool, by_operation: bool
) -> tf.Tensor:
    """Rounds `x` to the levels of its channels' ranges.

    Args:
        x: float32 tensor.
        minimum: vector along the last axis of `x`.
        maximum: vector along the last axis of `x`.
        bits: 2 to 16.
        narrow_range: whether the lowest code is left out.
        by_operation: True for TensorFlow's operation, which goes through memory channel
            by channel; elementwise operations do the same several times as fast.
    """
    levels = levels_of(minimum, maximum, bits, narrow_range)

    def elementwise(x):
        low = levels.lowest
        distance = tf.maximum(tf.minimum(x, levels.highest), low) - low
        codes = tf.floor(distance * levels.per_unit + (0.5 - levels.zero))
        return codes * levels.step

    def operation(x):
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(
            x, minimum, maximum, num_bits=bits, narrow_range=narrow_range
        )

    @custom_gradient
    def quantized(x):
        def pull_back(dy):
            # A range of nothing but 0 has one level, and passes every gradient.
            is_inside = (x >= levels.lowest) & (x <= levels.highest)
            return tf.where(is_inside | levels.is_nothing, dy, 0.0)

        return (operation if by_operation else elementwise)(x), linear(pull_back)

    return quantized(x)


def centred_along_axis(x, largest, bits: int) -> tf.Tensor:
    """The same with the narrow ranges from -`largest` to `largest`, which hold `x`.

    Nothing has to be clipped then, and one comparison finds where rounding has put the
    end of the range below the largest value.

    Args:
        x: float32 tensor, |x| <= `largest`.
        largest: vector along the last axis of `x`, > 0.
        bits: 2 to 16.
    """
    steps, width = steps_of(bits, narrow_range=True), largest + largest
    half, step = steps / 2, step_of(width, bits, narrow_range=True)
    end = half * step

    @custom_gradient
    def quantized(x):
        def pull_back(dy):
            # ReluGrad, dy where its second argument is positive, is one pass.
            distance = _next_above(end) - tf.abs(x)
            return tf.raw_ops.ReluGrad(gradients=dy, features=distance)

        codes = tf.floor((x + end) * (steps / width) + (0.5 - half))
        return codes * step, linear(pull_back)

    return quantized(x)


def _next_above(x) -> tf.Tensor:
    return tf.math.nextafter(x, float("inf"))
