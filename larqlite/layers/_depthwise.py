"""Depthwise convolutions: one kernel for each input channel."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import arguments
from larqlite.layers._padding import PaddedConv, as_2d

__all__ = ["QuantDepthwiseConv1D", "QuantDepthwiseConv2D"]


class PaddedDepthwiseConv(PaddedConv):
    """Depthwise convolution on explicitly padded inputs, where `pad_values` ask for it."""

    def call_on_quantized(self, inputs):
        if not self.pads_explicitly():
            return super().call_on_quantized(inputs)
        x, kernels, geometry, restore = as_2d(
            self, self.padded(inputs), self.depthwise_kernel
        )
        outputs = tf_keras.backend.depthwise_conv2d(x, *kernels, **geometry)
        return self.finished(restore(outputs), inputs)


@register_object()
class QuantDepthwiseConv1D(PaddedDepthwiseConv, tf_keras.layers.DepthwiseConv1D):
    r"""1D depthwise convolution with quantized input and kernel.

    Equals `tf_keras.layers.DepthwiseConv1D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        depthwise_quantizer: quantizer (name, object or None) of `depthwise_kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, length, channels_in)`,
    output `(batch, new_length, channels_out)`,
    with channels_out = channels_in * depth_multiplier, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantDepthwiseConv1D(3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 3))).shape
        TensorShape([2, 8, 3])
    """

    quantized_weights = {"depthwise_kernel": "depthwise_quantizer"}

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        pad_values=0.0,
        depth_multiplier=1,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))


@register_object()
class QuantDepthwiseConv2D(PaddedDepthwiseConv, tf_keras.layers.DepthwiseConv2D):
    r"""2D depthwise convolution with quantized input and kernel.

    Equals `tf_keras.layers.DepthwiseConv2D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        depthwise_quantizer: quantizer (name, object or None) of `depthwise_kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, channels_out)`,
    with channels_out = channels_in * depth_multiplier, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantDepthwiseConv2D(3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 3))).shape
        TensorShape([2, 8, 8, 3])
    """

    quantized_weights = {"depthwise_kernel": "depthwise_quantizer"}

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        depth_multiplier=1,
        data_format=None,
        dilation_rate=(1, 1),
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))
