"""TFLite lowerings: how wrapped layers compute in inference, so that the converter follows.

The converter turns fake quantization into integer operations only in some shapes: not
around the matrix product of a `Dense` before a normalization, not on the kernel of a
`Conv1D`, not through the space-to-batch of a dilated convolution. Where `training` is
False, layers of these classes compute the same numbers in a shape that it does follow:
mostly a two-dimensional convolution whose kernel has one range for each output channel.
In training, and with quantizers that are not larqlite's own ranges, a layer computes in
Keras' own way.

A lowering is a function of a `WrappedCall` that returns the outputs, or None where Keras'
own way is fine; `TABLE` has one for each class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from larqlite.qat.lowerings import _convolutions, _others
from larqlite.qat.lowerings._exporting import in_float, nth_use
from larqlite.qat.lowerings._weight import Weight, has_range
from larqlite.qat.lowerings._wrapped_call import WrappedCall
from larqlite.qat.quantizers.internal import calibration, is_unrounded

__all__ = ["Lowering", "TABLE", "is_static_inference", "outputs_of"]

layers = tf_keras.layers


@dataclasses.dataclass(frozen=True)
class Lowering:
    """How a class of layers computes in inference.

    Attributes:
        compute: `call -> outputs`, or None for Keras' own way.
        weight: the attribute with the weight that is quantized; None for none.
    """

    compute: Callable[[WrappedCall], tf.Tensor | None]
    weight: str | None = None


TABLE: dict[type, Lowering] = {
    layers.Dense: Lowering(_convolutions.dense, "kernel"),
    layers.Conv1D: Lowering(_convolutions.conv1d, "kernel"),
    layers.Conv2D: Lowering(_convolutions.conv2d, "kernel"),
    layers.DepthwiseConv1D: Lowering(_convolutions.depthwise1d, "depthwise_kernel"),
    layers.DepthwiseConv2D: Lowering(_convolutions.depthwise2d, "depthwise_kernel"),
    layers.Conv1DTranspose: Lowering(_convolutions.transpose1d, "kernel"),
    layers.Conv2DTranspose: Lowering(_convolutions.transpose2d, "kernel"),
    layers.PReLU: Lowering(_others.prelu, "alpha"),
    layers.AveragePooling1D: Lowering(_others.average1d),
    layers.AveragePooling2D: Lowering(_others.average2d),
    layers.UpSampling2D: Lowering(_others.upsample2d),
    layers.BatchNormalization: Lowering(_convolutions.normalization),
    layers.experimental.SyncBatchNormalization: Lowering(_convolutions.normalization),
    layers.Rescaling: Lowering(_convolutions.rescaling),
    layers.Resizing: Lowering(_others.resizing),
    layers.GroupNormalization: Lowering(_others.group_normalization),
}


def outputs_of(wrapper, training, inputs, has_mask: bool = False):
    """What a wrapped layer computes by its lowering, or None if Keras' own way is to be used.

    Args:
        wrapper: the `QuantizeWrapperV2`.
        training: as in its call.
        inputs: what goes in, quantized by the wrapper's input quantizers.
        has_mask: whether a mask comes with it.
    """
    layer = wrapper.layer
    lowering = TABLE.get(type(layer))
    if (
        lowering is None
        or not is_static_inference(training)
        or calibration() is not None
        or is_unrounded()
    ):
        return None
    if not tf.is_tensor(inputs) or inputs.shape.rank is None:
        return None
    if layer.activity_regularizer is not None:  # Keras applies it in its own way
        return None
    weight = None
    if lowering.weight is None and wrapper.weight_slots:
        return None
    if lowering.weight is not None:
        if len(wrapper.weight_slots) != 1 or not wrapper.only_places:
            return None
        ((view, quantizer, ranges, hook),) = wrapper.weight_slots
        if view is not getattr(layer, lowering.weight) or not has_range(quantizer):
            return None
        weight = Weight(view, quantizer, ranges, hook, nth_use(wrapper.name))
    inputs = in_float(inputs, layer.compute_dtype)
    call = WrappedCall(
        wrapper.name,
        layer,
        inputs,
        weight,
        ends_in_range=wrapper.ends_in_range,
        sums_are_rounded=wrapper.sums_are_rounded,
        has_mask=has_mask,
    )
    return lowering.compute(call)


def is_static_inference(training) -> bool:
    """Whether it is known, before anything is computed, that nothing is trained."""
    if tf.is_tensor(training):
        training = tf.get_static_value(training)
        return training is not None and not training
    return not training
