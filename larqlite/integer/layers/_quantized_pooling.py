"""Integer pooling layers: the largest, the average of windows, the average of all."""

from __future__ import annotations

from math import lcm

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import OUTPUT
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import (
    convolved,
    depthwise_convolution,
    max_pool,
    reduce_sum,
)

__all__ = [
    "QuantizedAveragePooling2D",
    "QuantizedGlobalAveragePooling2D",
    "QuantizedMaxPool2D",
]


@quantizes(tf_keras.layers.MaxPooling2D)
class QuantizedMaxPool2D(QuantizedLayer, tf_keras.layers.MaxPooling2D):
    """A max pooling layer on quantized inputs: the largest integer of each window.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`; output: the same type.

    Args:
        pool_size: size of a window, an integer or two.
        strides: steps between windows; `pool_size` if None.
        padding: "valid", or "same", whose added cells never count.
        data_format: "channels_last", or None.
        **kwargs: those of a Keras layer.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint([[[[1], [-2]], [[3], [0]]]], 7, 0)
        >>> lq.integer.layers.QuantizedMaxPool2D(2)(fp).values.numpy().ravel()
        array([3.], dtype=float32)
    """

    requires_aligned_inputs = False

    def compute(self, inputs):
        """The largest of each window."""
        return max_pool(inputs, self.pool_size, self.strides, self.padding.upper())


@quantizes(tf_keras.layers.GlobalAveragePooling2D)
class QuantizedGlobalAveragePooling2D(
    QuantizedLayer, tf_keras.layers.GlobalAveragePooling2D
):
    r"""A global average pooling layer on quantized inputs.

    $$ y = \frac{1}{HW} \sum x $$

    The sum is one of integers; $1/HW$ becomes the scale of the result, so nothing is
    rounded before the output quantizer.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`, per-tensor or
    per-axis. Output: QFloat `(batch, channels)`; FixedPoint with an output quantizer.

    Args:
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer, and `buffer_bitwidth`, the value bits of the sum (32).
        **kwargs: those of the Keras layer.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint([[[[1], [-2]], [[3], [4]]]], 7, 0)
        >>> mean = lq.integer.layers.QuantizedGlobalAveragePooling2D()(fp)
        >>> mean.fp.values.numpy().item(), float(mean.scales)
        (6.0, 0.25)
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    buffer_cap = 53
    requires_aligned_inputs = False
    keeps_per_axis = True

    def compute(self, inputs):
        """The average of all positions of each channel."""
        fp = self.in_buffer(inputs, self.quant_config["buffer_bitwidth"])
        total = reduce_sum(_fp(fp), (1, 2), self.keepdims)
        height, width = inputs.shape[1:3]
        if height is None or width is None:
            size = tf.shape(_fp(inputs).values)[1:3]
            scale = 1 / tf.cast(size[0] * size[1], tf.float32)
        else:
            scale = np.float32(1 / (height * width))
        return _scaled(total, inputs, scale)


@quantizes(tf_keras.layers.AveragePooling2D)
class QuantizedAveragePooling2D(QuantizedLayer, tf_keras.layers.AveragePooling2D):
    r"""An average pooling layer on quantized inputs.

    $$ y = \frac{1}{L} \left( \frac{L}{n} \sum x \right) $$

    over the $n$ cells of each window that lie inside of the input, as in Keras.
    $L$ is the least common multiple of all $n$ that occur: one number with padding
    "valid", and a few at the borders with "same" (36 for windows of 3x3). So each sum is
    multiplied by a whole number, $1/L$ is the scale of the result, and the average is
    exact at every position.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`, per-tensor or
    per-axis; with "same", of a known height and width. Output: QFloat; FixedPoint with an
    output quantizer.

    Args:
        pool_size: size of a window, an integer or two.
        strides: steps between windows; `pool_size` if None.
        padding: "valid" or "same".
        data_format: "channels_last", or None.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer, and `buffer_bitwidth`, the value bits of the sum (32).
        **kwargs: those of a Keras layer.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint(np.ones((1, 3, 3, 1)), 7, 0)
        >>> layer = lq.integer.layers.QuantizedAveragePooling2D(2, padding="same")
        >>> mean = layer(fp)
        >>> mean.fp.values.numpy().ravel().tolist(), float(mean.scales)
        ([4.0, 4.0, 4.0, 4.0], 0.25)
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    buffer_cap = 53
    requires_aligned_inputs = False
    keeps_per_axis = True

    def compute(self, inputs):
        """The average of each window."""
        fp = _fp(self.in_buffer(inputs, self.quant_config["buffer_bitwidth"]))
        ones = FixedPoint(tf.ones((*self.pool_size, fp.shape[-1], 1)), 1, 0, limit=1)
        total = depthwise_convolution(
            fp, ones, self.strides, self.padding.upper(), convolve=self._sums
        )
        factors, multiple = self._factors(inputs.shape)
        if factors is not None:
            total = total * FixedPoint(factors, 32, 0, limit=int(factors.max()))
        return _scaled(total, inputs, np.float32(1 / multiple))

    def _sums(self, values: tf.Tensor, ones: tf.Tensor) -> tf.Tensor:
        """The sums of the windows."""
        down, across = self.strides
        padding = self.padding.upper()
        if down == across:
            return tf.nn.depthwise_conv2d(values, ones, (1, down, down, 1), padding)
        # TensorFlow's depthwise convolution has one stride for rows and columns.
        channels = values.shape[-1]
        size = tf.shape(values)
        images = tf.transpose(values, (0, 3, 1, 2))
        images = tf.reshape(images, (-1, size[1], size[2], 1))
        sums = convolved(images, ones[:, :, :1], (down, across), padding)
        height, width = tf.shape(sums)[1], tf.shape(sums)[2]
        sums = tf.reshape(sums, (-1, channels, height, width))
        return tf.transpose(sums, (0, 2, 3, 1))

    def multiple_of(self, shape) -> int:
        """What the largest input can be multiplied by in a sum: the cells of the largest
        window times its factor, $L$.

        Args:
            shape: of the inputs.
        """
        return self._factors(shape)[1]

    def _factors(self, shape) -> tuple[np.ndarray | None, int]:
        """What each sum is multiplied by, `(1, height, width, 1)`, and $L$."""
        window = self.pool_size[0] * self.pool_size[1]
        if self.padding == "valid":
            return None, window
        if None in tuple(shape[1:3]):
            raise ArgumentError(
                f'{self.where}: with padding="same", windows at the borders have fewer '
                f"cells, and an input of shape {tuple(shape)} does not say how many.\n"
                '  Fix: give the model\'s Input its height and width, or padding="valid".'
            )
        rows, columns = (
            _cells(size, self.pool_size[i], self.strides[i])
            for i, size in enumerate(shape[1:3])
        )
        counts = np.outer(rows, columns)
        multiple = lcm(*(int(count) for count in np.unique(counts)))
        if counts.min() == counts.max():
            return None, multiple
        return (multiple // counts).astype(np.float64)[None, :, :, None], multiple


def _cells(size: int, window: int, stride: int) -> np.ndarray:
    """How many cells of each window with "same" padding lie inside of the input."""
    starts = np.arange(-(-size // stride)) * stride
    before = max(0, starts[-1] + window - size) // 2
    starts = starts - before
    return np.minimum(starts + window, size) - np.maximum(starts, 0)


def _fp(x: QTensor) -> FixedPoint:
    return x.fp if isinstance(x, QFloat) else x


def _scaled(total: FixedPoint, inputs: QTensor, scale) -> QFloat:
    """The sum with the scale of an average, times those of the input."""
    if isinstance(inputs, QFloat):
        return QFloat(total, inputs.scales * scale)
    return QFloat(total, scale)
