"""Locally connected layers: convolutions whose positions do not share weights."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import QuantLayer, arguments

__all__ = ["QuantLocallyConnected1D", "QuantLocallyConnected2D"]


@register_object()
class QuantLocallyConnected1D(QuantLayer, tf_keras.layers.LocallyConnected1D):
    r"""1D locally connected layer (weights not shared) with quantized input and kernel.

    Equals `tf_keras.layers.LocallyConnected1D`, with these arguments added:

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
        >>> layer = lq.layers.QuantLocallyConnected1D(4, 3, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 3))).shape
        TensorShape([2, 6, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
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
        implementation=1,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))


@register_object()
class QuantLocallyConnected2D(QuantLayer, tf_keras.layers.LocallyConnected2D):
    r"""2D locally connected layer (weights not shared) with quantized input and kernel.

    Equals `tf_keras.layers.LocallyConnected2D`, with these arguments added:

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
        >>> layer = lq.layers.QuantLocallyConnected2D(4, 3, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8, 8, 3))).shape
        TensorShape([2, 6, 6, 4])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
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
        implementation=1,
        **kwargs,
    ) -> None:
        super().__init__(**arguments(locals()))
