"""Depthwise separable convolutions: a depthwise, then a pointwise kernel."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import arguments
from larqlite.layers._padding import PaddedConv, as_2d

__all__ = ["QuantSeparableConv1D", "QuantSeparableConv2D"]


class PaddedSeparableConv(PaddedConv):
    """Separable convolution on explicitly padded inputs, where `pad_values` ask for it."""

    def call_on_quantized(self, inputs):
        if not self.pads_explicitly():
            return super().call_on_quantized(inputs)
        x, kernels, geometry, restore = as_2d(
            self, self.padded(inputs), self.depthwise_kernel, self.pointwise_kernel
        )
        outputs = tf_keras.backend.separable_conv2d(x, *kernels, **geometry)
        return self.finished(restore(outputs), inputs)


@register_object()
class QuantSeparableConv1D(PaddedSeparableConv, tf_keras.layers.SeparableConv1D):
    r"""1D depthwise separable convolution with quantized input and kernels.

    Equals `tf_keras.layers.SeparableConv1D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        depthwise_quantizer: quantizer (name, object or None) of `depthwise_kernel`.
        pointwise_quantizer: quantizer (name, object or None) of `pointwise_kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, length, channels_in)`,
    output `(batch, new_length, filters)`, or channels first as
    `data_format` says.
    The result of the depthwise part is not quantized before the pointwise part.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.
        ArgumentError: `pad_values` are no number, or padding="causal" together with them.

    Example:
        >>> layer = lq.layers.QuantSeparableConv1D(4, 3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 3))).shape
        TensorShape([2, 8, 4])
    """

    quantized_weights = {
        "depthwise_kernel": "depthwise_quantizer",
        "pointwise_kernel": "pointwise_quantizer",
    }

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        pointwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))


@register_object()
class QuantSeparableConv2D(PaddedSeparableConv, tf_keras.layers.SeparableConv2D):
    r"""2D depthwise separable convolution with quantized input and kernels.

    Equals `tf_keras.layers.SeparableConv2D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        depthwise_quantizer: quantizer (name, object or None) of `depthwise_kernel`.
        pointwise_quantizer: quantizer (name, object or None) of `pointwise_kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, filters)`, or channels first as
    `data_format` says.
    The result of the depthwise part is not quantized before the pointwise part.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantSeparableConv2D(4, 3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 3))).shape
        TensorShape([2, 8, 8, 4])
    """

    quantized_weights = {
        "depthwise_kernel": "depthwise_quantizer",
        "pointwise_kernel": "pointwise_quantizer",
    }

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1),
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        pointwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))
