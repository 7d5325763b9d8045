"""Lowerings to two-dimensional convolutions with one range for each output channel.

Of convolutions, of `Dense` (a kernel of one pixel), and of `inputs * scale + offset` by
channel (a depthwise kernel of one pixel).
"""

from __future__ import annotations

import tensorflow as tf

from larqlite.primitives import fake_quant
from larqlite.qat.lowerings._exporting import is_alone, is_exporting
from larqlite.qat.lowerings._wrapped_call import WrappedCall

__all__ = [
    "conv1d",
    "conv2d",
    "dense",
    "depthwise1d",
    "depthwise2d",
    "normalization",
    "rescaling",
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


def dense(call: WrappedCall):
    """`activation(inputs @ kernel + bias)`, over the last axis of any rank.

    A matrix product whose sums are quantized at once stays one: it becomes a fully
    connected operation.
    """
    inputs, units = call.inputs, call.layer.units
    if inputs.shape.rank == 2 and call.ends_in_range and call.weight.is_per_tensor:
        kernel = call.like_inputs(call.weight.per_tensor())
        return call.activated(call.with_bias(tf.matmul(inputs, kernel)))
    image, shape = _as_image(inputs)
    kernel = call.weight.per_channel([1, 1, inputs.shape[-1], units])
    outputs = tf.nn.conv2d(image, call.like_inputs(kernel), 1, "VALID")
    outputs = call.with_bias(outputs)
    if shape is not None:
        outputs = tf.reshape(outputs, [*shape, units])
    return call.activated(outputs)


def _as_image(inputs):
    """The inputs with four axes, and the shape before the last axis to go back to.

    No more than one length is computed, so that TFLite has constants for the others.
    """
    shape = inputs.shape
    unknown = sum(length is None for length in shape[1:])
    if shape.rank == 4:
        return inputs, None
    if unknown == 0:
        before = [-1, *shape[1:-1]]
        rows = shape[1:-1].num_elements()
        return tf.reshape(inputs, [-1, 1, rows, shape[-1]]), before
    dynamic = tf.shape(inputs)
    before = [dynamic[i] if n is None else n for i, n in enumerate(shape[:-1])]
    return tf.reshape(inputs, [-1, 1, 1, shape[-1]]), before


def normalization(call: WrappedCall):
    """`BatchNormalization` that follows no convolution which could take it in."""
    layer, rank = call.layer, call.inputs.shape.rank
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    if not is_alone(call.name) or axis not in (-1, rank - 1) or rank < 2:
        return None
    scale = tf.math.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.scale:
        scale *= layer.gamma
    offset = -layer.moving_mean * scale
    return _affine(call.inputs, scale, offset + layer.beta if layer.center else offset)


def rescaling(call: WrappedCall):
    """`Rescaling`, in an export."""
    layer, channels = call.layer, call.inputs.shape[-1]
    if not is_exporting() or channels is None or call.inputs.shape.rank < 2:
        return None
    ends = (layer.scale, layer.offset)
    return _affine(
        call.inputs,
        *(tf.broadcast_to(tf.cast(e, tf.float32), [channels]) for e in ends),
    )


def _affine(inputs, scale, offset):
    """The scales are kernels of one pixel, each at the last code of its own range."""
    channels = inputs.shape[-1]
    ends = tf.abs(scale)
    kernel = tf.reshape(scale, [1, 1, 1, channels])
    kernel = fake_quant(kernel, -ends, ends, 8, True, per_axis=True)
    kernel = tf.reshape(kernel, [1, 1, channels, 1])
    shape = tf.shape(inputs)
    is_image = inputs.shape.rank == 4
    image = inputs if is_image else tf.reshape(inputs, [-1, 1, 1, channels])
    outputs = tf.nn.depthwise_conv2d(image, kernel, [1, 1, 1, 1], "VALID")
    outputs = tf.nn.bias_add(outputs, offset)
    if is_image:
        return outputs
    known = inputs.shape[1:]
    return tf.reshape(outputs, [-1, *known] if known.is_fully_defined() else shape)
