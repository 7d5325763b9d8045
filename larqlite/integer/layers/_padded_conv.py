"""A convolution whose "same" padding is filled with values of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.graph import FACTS
from larqlite.integer.layers._layer_classes import NamedWeights
from larqlite.layers.internal import same_padding

__all__ = ["PaddedConv2D", "padded", "padding_values"]


@register_object()
class PaddedConv2D(NamedWeights, tf_keras.layers.Conv2D):
    r"""A `Conv2D` that pads with given values in place of zeros.

    For input length $i$, stride $s$ and dilated kernel $k$, "same" padding adds
    $p = \max((\lceil i/s \rceil - 1) s + k - i, 0)$ elements: $\lfloor p/2 \rfloor$
    before, the rest after.

    Input `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, filters)`, floating-point.

    Args:
        *args: those of `tf_keras.layers.Conv2D`.
        padding_value: a number for all channels, or one number for each channel of the
            input (list, array or tensor). The padding is then "same", whatever
            `padding` says, also for 0. None: an ordinary `Conv2D`.
        **kwargs: those of `tf_keras.layers.Conv2D`.

    Raises:
        ArgumentError: more than one axis of padding values, one that is not finite, or
            not as many as the input has channels.

    Example:
        >>> layer = lq.integer.layers.PaddedConv2D(1, 3, padding_value=2.0,
        ...     kernel_initializer="ones")
        >>> layer(tf.ones((1, 2, 2, 1))).numpy().ravel().tolist()
        [14.0, 14.0, 14.0, 14.0]
    """

    def __init__(self, *args: Any, padding_value: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        where = f'{type(self).__name__} "{self.name}"'
        self.padding_value = padding_values(padding_value, where)
        if self.padding_value is not None:
            self.padding = "same"

    def build(self, input_shape):
        super().build(input_shape)
        require_one_each(
            self.padding_value,
            input_shape[self._get_channel_axis()],
            f'{type(self).__name__} "{self.name}"',
        )

    def convolution_op(self, inputs, kernel):
        """The convolution, without bias and activation."""
        if self.padding_value is None:
            return super().convolution_op(inputs, kernel)
        is_last = self.data_format == "channels_last"
        return tf.nn.convolution(
            padded(
                inputs,
                self.padding_value,
                (self.kernel_size, self.strides, self.dilation_rate),
                self.data_format,
            ),
            kernel,
            strides=list(self.strides),
            padding="VALID",
            data_format="NHWC" if is_last else "NCHW",
            dilations=list(self.dilation_rate),
        )

    def get_config(self) -> dict:
        value = self.padding_value
        value = value.tolist() if isinstance(value, np.ndarray) else value
        return {**super().get_config(), "padding_value": value}


FACTS[PaddedConv2D] = FACTS[tf_keras.layers.Conv2D]


def padding_values(value, where: str) -> float | np.ndarray | None:
    """Padding values as a number, or as a float32 vector.

    Raises:
        ArgumentError: they are neither, or not finite.
    """
    if value is None:
        return None
    array = np.asarray(tf_keras.backend.get_value(value), np.float32)
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ArgumentError(
            f"{where}: padding_value={value!r} is no finite number, and no list of one "
            "number for each input channel.\n"
            "  Fix: padding_value=0.5, or padding_value=[0.1, 0.2, 0.3] for 3 channels."
        )
    return array if array.ndim else float(array)


def require_one_each(value, channels: int | None, where: str) -> None:
    """Raises unless a vector of padding values fits the channels.

    Raises:
        ArgumentError: there are more or fewer.
    """
    if isinstance(value, np.ndarray) and len(value) not in (1, channels):
        raise ArgumentError(
            f"{where}: {len(value)} padding values for an input of {channels} channels.\n"
            f"  Fix: give one number, or {channels} of them."
        )


def padded(
    inputs: tf.Tensor, value, geometry: tuple, data_format: str = "channels_last"
) -> tf.Tensor:
    """Images with `value` around them, by the amounts of "same" padding.

    Args:
        inputs: tensor of rank 4.
        value: a number, or a vector with one for each channel.
        geometry: kernel size, strides and dilation rate, two numbers each.
        data_format: "channels_last" or "channels_first".
    """
    first = 1 if data_format == "channels_last" else 2
    paddings = [(0, 0)] * 4
    dynamic = tf.shape(inputs)
    for i, (kernel, stride, dilation) in enumerate(zip(*geometry, strict=True)):
        length = inputs.shape[first + i]
        length = dynamic[first + i] if length is None else length
        paddings[first + i] = same_padding(length, kernel, stride, dilation)
    value = tf.cast(value, inputs.dtype)
    if value.shape.rank == 0:
        return tf.pad(inputs, paddings, constant_values=value)
    if data_format == "channels_first":
        value = tf.reshape(value, (-1, 1, 1))
    is_inside = tf.pad(tf.ones_like(inputs, tf.bool), paddings)
    return tf.where(is_inside, tf.pad(inputs, paddings), value)
