"""The lowerings of pooling, resizing, PReLU and normalization of groups."""

from __future__ import annotations

import tensorflow as tf

from larqlite.primitives import fake_quant
from larqlite.qat.lowerings._exporting import is_exporting
from larqlite.qat.lowerings._wrapped_call import WrappedCall

__all__ = [
    "average1d",
    "average2d",
    "elu",
    "group_normalization",
    "prelu",
    "resizing",
    "upsample2d",
]

LARGEST_WINDOW = 64  # of a mean by a convolution, whose kernel has to be stored


def prelu(call: WrappedCall):
    """`PReLU`, whose slopes the converter rounds by itself."""
    return call.of_keras(call.weight.as_constant())


def elu(x: tf.Tensor, low: float, high: float) -> tf.Tensor:
    r"""`elu(x)` in operations that the converter makes integers of; an ELU is none.

    $elu(x) = \max(x, 0) + (e^{\min(x, 0)} - 1)$. The exponential comes in steps of 1/255; where
    those of the result are finer, it stays an ELU, of floats.

    Args:
        x: numbers that were rounded.
        low, high: the range of 8 bits that the result is rounded to.
    """
    if high - low < 1:
        return tf.nn.elu(x)
    negative = tf.minimum(x, 0.0)
    # Not a ReLU, which the converter joins with the kernel before, past its rounding.
    above = fake_quant(x - negative, low, high)
    below = fake_quant(fake_quant(tf.exp(negative), 0.0, 1.0) - 1.0, low, high)
    # One of both is 0, so that the sum rounds nothing once more.
    return above + below


def average1d(call: WrappedCall):
    """`AveragePooling1D`, as an image of one row."""
    layer = call.layer
    if layer.data_format != "channels_last":
        return None
    window, strides = (1, *layer.pool_size), (1, *layer.strides)
    row = tf.expand_dims(call.inputs, 1)
    if layer.padding == "valid" and window[1] <= LARGEST_WINDOW:
        return tf.squeeze(_mean(row, window, strides), 1)
    pooled = tf.nn.avg_pool2d(row, window, strides, layer.padding.upper())
    return tf.squeeze(_same(pooled), 1)


def average2d(call: WrappedCall):
    """`AveragePooling2D`: small windows by a convolution, which rounds only once."""
    layer = call.layer
    height, width = layer.pool_size
    if layer.data_format != "channels_last" or height * width > LARGEST_WINDOW:
        return None
    if layer.padding != "valid":
        return _same(layer(call.inputs))
    return _mean(call.inputs, layer.pool_size, layer.strides)


def upsample2d(call: WrappedCall):
    """`UpSampling2D`: if values are mixed, their range is left only after that."""
    layer = call.layer
    if layer.data_format != "channels_last" or layer.interpolation == "nearest":
        return None
    return _same(layer(call.inputs))


def resizing(call: WrappedCall):
    """`Resizing`, likewise."""
    layer = call.layer
    if layer.interpolation != "bilinear" or call.inputs.shape.rank != 4:
        return None
    return _same(layer(call.inputs))


def group_normalization(call: WrappedCall):
    """`GroupNormalization`, in an export, with no more than the four axes of TFLite."""
    layer, shape = call.layer, call.inputs.shape
    axis = layer.axis if layer.axis < 0 else layer.axis - shape.rank
    known = shape[1:].is_fully_defined()
    if not is_exporting() or call.has_mask or axis != -1 or not known:
        return None
    places, channels = shape[1:-1].num_elements(), shape[-1]
    within = channels // layer.groups
    values = tf.reshape(call.inputs, [-1, places, layer.groups, within])
    centred = values - tf.reduce_mean(values, [1, 3], keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), [1, 3], keepdims=True)
    outputs = centred * tf.math.rsqrt(variance + layer.epsilon)
    outputs = tf.reshape(outputs, [-1, places, channels])
    if layer.scale:
        outputs = outputs * layer.gamma
    if layer.center:
        outputs = outputs + layer.beta
    return tf.reshape(outputs, [-1, *shape[1:]])


def _mean(image, window, strides):
    """The mean over windows, as a convolution."""
    kernel = _equal_weights(window, image.shape[-1], 1 / (window[0] * window[1]))
    return _depthwise(image, kernel, strides)


def _same(image):
    """What goes in. TFLite's pooling and resizing keep the range of their inputs.

    Where the outputs' range is smaller, the converter would clip the inputs to it; after
    an operation that can change ranges, it does not.
    """
    return _depthwise(image, _equal_weights((1, 1), image.shape[-1], 1.0), (1, 1))


def _depthwise(image, kernel, strides):
    return tf.nn.depthwise_conv2d(
        image, tf.cast(kernel, image.dtype), [1, *strides, 1], "VALID"
    )


def _equal_weights(window, channels: int, value: float) -> tf.Tensor:
    ends = tf.fill([channels], value)
    kernel = tf.fill([*window, 1, channels], value)
    quantized = fake_quant(kernel, -ends, ends, 8, True, per_axis=True)
    return tf.reshape(quantized, [*window, channels, 1])
