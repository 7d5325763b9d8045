"""Convolutions in one, two and three dimensions."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import arguments
from larqlite.layers._padding import PaddedConv
from larqlite.layers._sign_sums import conv_of_signs, has_integer_sums
from larqlite.quantizers import MagnitudeAwareSign

__all__ = ["QuantConv1D", "QuantConv2D", "QuantConv3D"]


FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}


class PaddedPlainConv(PaddedConv):
    """Convolution on explicitly padded inputs, where `pad_values` ask for it."""

    def convolution_op(self, inputs, kernel):
        if not self.pads_explicitly():
            return super().convolution_op(inputs, kernel)
        return tf.nn.convolution(
            self.padded(inputs),
            kernel,
            strides=list(self.strides),
            padding="VALID",
            data_format=FORMATS[self.rank][self.data_format == "channels_first"],
            dilations=list(self.dilation_rate),
        )


@register_object()
class QuantConv1D(PaddedPlainConv, tf_keras.layers.Conv1D):
    r"""1D convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv1D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, length, channels_in)`,
    output `(batch, new_length, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.
        ArgumentError: `pad_values` are no number, or padding="causal" together with them.

    Example:
        >>> layer = lq.layers.QuantConv1D(4, 3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 3))).shape
        TensorShape([2, 8, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        pad_values=0.0,
        data_format="channels_last",
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))


@register_object()
class QuantConv2D(PaddedPlainConv, tf_keras.layers.Conv2D):
    r"""2D convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv2D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantConv2D(4, 3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 3))).shape
        TensorShape([2, 8, 8, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))

    def convolution_op(self, inputs, kernel):
        if not has_integer_sums(self, inputs):
            return super().convolution_op(inputs, kernel)
        padding = self.padding.upper()
        if self.pads_explicitly():
            inputs, padding = self.padded(inputs), "VALID"
        scaled = isinstance(self.kernel_quantizer, MagnitudeAwareSign)
        kernel = tf.convert_to_tensor(kernel)
        return conv_of_signs(inputs, kernel, self.strides, padding, scaled=scaled)


@register_object()
class QuantConv3D(PaddedPlainConv, tf_keras.layers.Conv3D):
    r"""3D convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv3D`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.

    Input `(batch, depth, height, width, channels_in)`,
    output `(batch, new_depth, new_height, new_width, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantConv3D(4, 3, padding="same",
        ...     pad_values=1.0, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 8, 3))).shape
        TensorShape([2, 8, 8, 8, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))
