"""One number for each channel: learned ones, and those of a batch normalization."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite._ops import ops_of
from larqlite.errors import ArgumentError
from larqlite.primitives import shape_along


def channels_shape(input_shape, axis: int, where: str) -> tuple[int, ...]:
    """The shape of a variable with one value per channel: `(channels,)`.

    Args:
        input_shape: of the tensor; a scalar has one value, of shape `()`.
        axis: the axis of the channels.
        where: the layer, for messages.

    Raises:
        ArgumentError: the tensor has no such axis, or its size is not known.
    """
    shape = tf.TensorShape(input_shape)
    if shape.rank == 0:
        return ()
    fits = shape.rank is not None and -shape.rank <= axis < shape.rank
    if not fits or shape[axis] is None:
        raise ArgumentError(
            f"{where}: learns one value for each channel of axis {axis}, but an input of "
            f"the shape {shape} does not say how many there are.\n"
            "  Fix: give the input a size there, or say with axis=... where the channels "
            "are."
        )
    return (shape[axis],)


def along_channels(values: tf.Tensor, x: tf.Tensor, axis: int) -> tf.Tensor:
    """Values `(channels,)` in the dtype of `x`, shaped to be combined with it.

    Args:
        values: one per channel.
        x: tensor with the channels on `axis`.
        axis: counted from the front, or from the end if negative.
    """
    ops = ops_of(x)
    values = ops.like(values, x)
    if axis == -1 or len(x.shape) < 2:
        return values
    return ops.reshape(values, shape_along(len(x.shape), axis))


def normalization_factors(layer) -> tuple[np.ndarray, np.ndarray]:
    """What a batch normalization multiplies by and adds, in float64.

    `scale = gamma / sqrt(variance + epsilon)` and `offset = beta - mean * scale`, each
    of the shape of the moving variance.
    """
    mean, variance = (
        np.asarray(moving, np.float64)
        for moving in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * np.asarray(layer.gamma, np.float64)
    offset = -mean * scale
    if layer.beta is not None:
        offset = offset + np.asarray(layer.beta, np.float64)
    return scale, offset
