"""The form of `Dense`: a convolution with a kernel of one pixel."""

from __future__ import annotations

import tensorflow as tf

from larqlite.qat.lowerings._wrapped_call import WrappedCall

__all__ = ["dense"]


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
