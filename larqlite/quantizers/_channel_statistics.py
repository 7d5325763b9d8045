"""Means and deviations of each output channel of a kernel, by which quantizers scale and shift."""

from __future__ import annotations

from math import gcd, prod

import tensorflow as tf

from larqlite.math import ops_of
from larqlite.primitives import other_axes

__all__ = [
    "channel_axes",
    "channel_means",
    "mean_and_deviation",
    "standardized",
    "through_standardized",
]


def channel_axes(x: tf.Tensor) -> list[int]:
    """All axes but the last; the only one of a vector, which is one channel."""
    rank = len(x.shape)
    return other_axes(rank) or list(range(rank))


def channel_means(x: tf.Tensor) -> tf.Tensor:
    """The mean of each output channel, `(1, ..., channels_out)`, in the dtype of `x`.

    Args:
        x: of 32 bits or more; sums over many rows leave the range of 16.
    """
    ops, shape = ops_of(x), tuple(x.shape)
    if len(shape) < 2 or not all(shape):  # a size of 0, or one that is not known
        return ops.mean(x, channel_axes(x))
    rows, channels = prod(shape[:-1]), shape[-1]
    # A mean of means over longer rows is twice as fast, and rounds less.
    group = gcd(rows, 128)
    means = ops.mean(ops.reshape(x, [-1, group * channels]), [0])
    means = ops.mean(ops.reshape(means, [group, channels]), [0])
    return ops.reshape(means, [1] * (len(shape) - 1) + [channels])


def mean_and_deviation(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation of each output channel, in the dtype of `x`."""
    ops = ops_of(x)
    if ops.bytes_of(x) < 4:
        wide = mean_and_deviation(ops.float32(x))
        return tuple(ops.like(value, x) for value in wide)
    mean = ops.mean(x, channel_axes(x))
    return mean, ops.sqrt(ops.mean(ops.square(x - mean), channel_axes(x)))


def standardized(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Each output channel with mean 0 and deviation 1, and the deviation that it had.

    A constant channel becomes 0.
    """
    mean, deviation = mean_and_deviation(x)
    return ops_of(x).divide_no_nan(x - mean, deviation), deviation


def through_standardized(
    u: tf.Tensor, deviation: tf.Tensor, du: tf.Tensor
) -> tf.Tensor:
    """The gradient of what was standardized, for that of `u`: 32 bits or more."""
    ops, axes = ops_of(u), channel_axes(u)
    inner = du - ops.mean(du, axes) - u * ops.mean(du * u, axes)
    return ops.divide_no_nan(inner, deviation)
