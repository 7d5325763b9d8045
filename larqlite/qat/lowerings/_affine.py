"""The forms of `inputs * scale + offset` by channel: a convolution of single pixels."""

from __future__ import annotations

import tensorflow as tf

from larqlite.qat.lowerings._exporting import is_alone, is_exporting
from larqlite.qat.lowerings._wrapped_call import WrappedCall
from larqlite.qat.quantizers.internal import fake_quant

__all__ = ["normalization", "rescaling"]


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
