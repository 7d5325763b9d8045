"""Densely connected layers."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.layers._base import QuantLayer, arguments

__all__ = ["QuantDense"]


@register_object()
class QuantDense(QuantLayer, tf_keras.layers.Dense):
    r"""Densely connected layer with quantized input and kernel: $y = a(q_i(x)\, q_k(W) + b)$.

    Equals `tf_keras.layers.Dense`, with these arguments added:

    Args:
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.

    Input `(..., channels_in)`, output `(..., units)`, in the layer's compute dtype.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        KerasVersionError: called on a Keras 3 tensor.

    Example:
        >>> layer = lq.layers.QuantDense(64, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> layer(tf.ones((2, 8))).shape
        TensorShape([2, 64])
    """

    quantized_weights = {"kernel": "kernel_quantizer"}

    def __init__(
        self,
        units,
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
