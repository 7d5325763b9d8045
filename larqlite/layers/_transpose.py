"""Transposed convolutions."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import QuantLayer, arguments

__all__ = ["QuantConv1DTranspose", "QuantConv2DTranspose", "QuantConv3DTranspose"]


@register_object()
class QuantConv1DTranspose(QuantLayer, tf_keras.layers.Conv1DTranspose):
    r"""1D transposed convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv1DTranspose`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.

    Input `(batch, length, channels_in)`,
    output `(batch, new_length, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantConv1DTranspose(4, 3, strides=2, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 3))).shape
        TensorShape([2, 17, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
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
class QuantConv2DTranspose(QuantLayer, tf_keras.layers.Conv2DTranspose):
    r"""2D transposed convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv2DTranspose`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantConv2DTranspose(4, 3, strides=2, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 3))).shape
        TensorShape([2, 17, 17, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1),
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
class QuantConv3DTranspose(QuantLayer, tf_keras.layers.Conv3DTranspose):
    r"""3D transposed convolution with quantized input and kernel.

    Equals `tf_keras.layers.Conv3DTranspose`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.

    Input `(batch, depth, height, width, channels_in)`,
    output `(batch, new_depth, new_height, new_width, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantConv3DTranspose(4, 3, strides=2, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 8, 3))).shape
        TensorShape([2, 17, 17, 17, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1, 1),
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1, 1),
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
