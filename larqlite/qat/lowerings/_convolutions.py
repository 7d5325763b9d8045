"""The forms of convolutions: two-dimensional, with one range per output channel."""

from __future__ import annotations

import tensorflow as tf

from larqlite.qat.lowerings._wrapped_call import WrappedCall

__all__ = [
    "conv1d",
    "conv2d",
    "depthwise1d",
    "depthwise2d",
    "transpose1d",
    "transpose2d",
]


def conv2d(call: WrappedCall):
    """`Conv2D`; dilated, without the operations that Keras puts around it."""
    layer = call.layer
    kernel = call.weight.per_channel(call.weight.shape)
    if max(layer.dilation_rate) == 1 or _is_special(layer):
        return call.of_keras(kernel)
    outputs = tf.nn.conv2d(
        call.inputs,
        call.like_inputs(kernel),
        strides=layer.strides,
        padding=layer.padding.upper(),
        dilations=layer.dilation_rate,
    )
    return call.activated(call.with_bias(outputs))


def conv1d(call: WrappedCall):
    """`Conv1D`, as an image of one row."""
    layer = call.layer
    if _is_special(layer):
        return None
    (width, *_), (dilation,) = call.weight.shape, layer.dilation_rate
    row, padding = tf.expand_dims(call.inputs, 1), layer.padding.upper()
    if layer.padding == "causal":
        before = (width - 1) * dilation
        row, padding = tf.pad(row, [[0, 0], [0, 0], [before, 0], [0, 0]]), "VALID"
    outputs = tf.nn.conv2d(
        row,
        call.like_inputs(call.weight.per_channel([1, *call.weight.shape])),
        strides=[1, *layer.strides],
        padding=padding,
        dilations=[1, dilation],
    )
    return call.activated(tf.squeeze(call.with_bias(outputs), 1))


def depthwise2d(call: WrappedCall):
    """`DepthwiseConv2D`; dilated, without the operations that Keras puts around it."""
    layer = call.layer
    return _depthwise(call, call.inputs, layer.strides, layer.dilation_rate)


def depthwise1d(call: WrappedCall):
    """`DepthwiseConv1D`, as an image of one row, along which both strides count."""
    layer = call.layer
    row = tf.expand_dims(call.inputs, 1)
    return _depthwise(call, row, layer.strides[:1] * 2, (1, layer.dilation_rate[0]))


def _depthwise(call: WrappedCall, image, strides, dilation):
    layer = call.layer
    if layer.data_format != "channels_last":
        return None
    *window, channels, multiplier = call.weight.shape
    window = [1] * (2 - len(window)) + window
    # One range for each channel that comes out: the axis where TFLite has them.
    kernel = call.weight.per_channel([*window, 1, channels * multiplier], channels)
    outputs = tf.raw_ops.DepthwiseConv2dNative(
        input=image,
        filter=call.like_inputs(tf.reshape(kernel, [*window, channels, multiplier])),
        strides=[1, *strides, 1],
        padding=layer.padding.upper(),
        dilations=[1, *dilation, 1],
    )
    outputs = call.with_bias(outputs)
    if call.inputs.shape.rank == 3:
        outputs = tf.squeeze(outputs, 1)
    return call.activated(outputs)


def transpose2d(call: WrappedCall):
    """`Conv2DTranspose`; before a normalization, the converter rounds its kernel again.

    It refuses fake quantization along output channels that are not the last axis.
    """
    if _sums_are_rounded(call):
        return call.of_keras(call.weight.per_tensor())
    return call.of_keras(call.weight.as_constant())


def transpose1d(call: WrappedCall):
    """`Conv1DTranspose`, as an image of one row."""
    layer, values = call.layer, call.weight.as_constant()
    length = layer.compute_output_shape(call.inputs.shape)[1]
    if layer.data_format != "channels_last" or length is None:
        return call.of_keras(values)
    if _sums_are_rounded(call):
        values = call.weight.per_tensor()
    row = tf.expand_dims(call.inputs, 1)
    outputs = tf.nn.conv2d_transpose(
        row,
        call.like_inputs(tf.expand_dims(values, 0)),
        [tf.shape(row)[0], 1, length, layer.filters],
        strides=[1, *layer.strides],
        padding=layer.padding.upper(),
        dilations=[1, *layer.dilation_rate],
    )
    # The converter joins what follows a convolution at once, not past a change of shape.
    return tf.squeeze(call.activated(call.with_bias(outputs)), 1)


def _sums_are_rounded(call: WrappedCall) -> bool:
    """Whether an integer kernel with one range gives what the model gives.

    Where sums go on in float, TFLite would multiply integers of the kernel with inputs
    that it rounds again by itself.
    """
    return call.sums_are_rounded and call.weight.is_per_tensor


def _is_special(layer) -> bool:
    """Whether a convolution is of a kind that Keras computes by other means."""
    return layer.data_format != "channels_last" or layer.groups > 1
