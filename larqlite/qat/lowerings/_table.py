"""Forms: how a wrapped layer computes in inference, so that TFLite's converter follows.

The converter turns fake quantization into integer operations only in some shapes: not
around the matrix product of a `Dense` before a normalization, not on the kernel of a
`Conv1D`, not through the space-to-batch of a dilated convolution. Where `training` is
False, layers of these classes compute the same numbers in a shape that it does follow:
mostly a two-dimensional convolution whose kernel has one range for each output channel.
In training, and with quantizers that are not larqlite's own ranges, a layer computes in
Keras' own way.

A form is a function of a `Call` that returns the outputs, or None where Keras' own way is
fine; `TABLE` has one for each class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from larqlite.qat.lowerings import _affine, _convolutions, _dense, _others
from larqlite.qat.lowerings._exporting import in_float, nth_use
from larqlite.qat.lowerings._weight import Weight, has_range
from larqlite.qat.lowerings._wrapped_call import Call
from larqlite.qat.quantizers.internal import calibration

__all__ = ["Form", "TABLE", "is_static_inference", "outputs_of"]

layers = tf_keras.layers


@dataclasses.dataclass(frozen=True)
class Form:
    """How a class of layers computes in inference.

    Attributes:
        compute: `call -> outputs`, or None for Keras' own way.
        weight: the attribute with the weight that is quantized; None for none.
    """

    compute: Callable[[Call], tf.Tensor | None]
    weight: str | None = None


TABLE: dict[type, Form] = {
    layers.Dense: Form(_dense.dense, "kernel"),
    layers.Conv1D: Form(_convolutions.conv1d, "kernel"),
    layers.Conv2D: Form(_convolutions.conv2d, "kernel"),
    layers.DepthwiseConv1D: Form(_convolutions.depthwise1d, "depthwise_kernel"),
    layers.DepthwiseConv2D: Form(_convolutions.depthwise2d, "depthwise_kernel"),
    layers.Conv1DTranspose: Form(_convolutions.transpose1d, "kernel"),
    layers.Conv2DTranspose: Form(_convolutions.transpose2d, "kernel"),
    layers.PReLU: Form(_others.prelu, "alpha"),
    layers.AveragePooling1D: Form(_others.average1d),
    layers.AveragePooling2D: Form(_others.average2d),
    layers.UpSampling2D: Form(_others.upsample2d),
    layers.BatchNormalization: Form(_affine.normalization),
    layers.experimental.SyncBatchNormalization: Form(_affine.normalization),
    layers.Rescaling: Form(_affine.rescaling),
    layers.Resizing: Form(_others.resizing),
    layers.GroupNormalization: Form(_others.group_normalization),
}


def outputs_of(wrapper, training, inputs, has_mask: bool = False):
    """What a wrapped layer computes by its form, or None if Keras' own way is to be used.

    Args:
        wrapper: the `QuantizeWrapperV2`.
        training: as in its call.
        inputs: what goes in, quantized by the wrapper's input quantizers.
        has_mask: whether a mask comes with it.
    """
    layer = wrapper.layer
    form = TABLE.get(type(layer))
    if form is None or not is_static_inference(training) or calibration() is not None:
        return None
    if not tf.is_tensor(inputs) or inputs.shape.rank is None:
        return None
    if layer.activity_regularizer is not None:  # Keras applies it in its own way
        return None
    weight = None
    if form.weight is None and wrapper.weight_slots:
        return None
    if form.weight is not None:
        if len(wrapper.weight_slots) != 1 or not wrapper.only_places:
            return None
        ((view, quantizer, ranges, slot),) = wrapper.weight_slots
        if view is not getattr(layer, form.weight) or not has_range(quantizer):
            return None
        weight = Weight(view, quantizer, ranges, slot, nth_use(wrapper.name))
    inputs = in_float(inputs, layer.compute_dtype)
    call = Call(wrapper.name, layer, inputs, weight, wrapper.ends_in_range, has_mask)
    return form.compute(call)


def is_static_inference(training) -> bool:
    """Whether it is known, before anything is computed, that nothing is trained."""
    if tf.is_tensor(training):
        training = tf.get_static_value(training)
        return training is not None and not training
    return not training
