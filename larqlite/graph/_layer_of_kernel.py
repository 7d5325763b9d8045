"""A layer as a function of its kernel, to be fitted to what the layer gives out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite import context
from larqlite._copies import carry, layer_like
from larqlite.graph._inference import call_in_inference
from larqlite.variables import QuantizedVariable


class LayerOfKernel:
    """A copy of a layer that computes with a kernel that is handed in.

    Args:
        layer: a built layer; it is not changed.
        name: attribute of its kernel.
        where: the public function, for messages.

    Attributes:
        layer: the copy, whose other weights may be assigned.

    Example:
        >>> from larqlite.graph import LayerOfKernel
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
        >>> dense = LayerOfKernel(model.layers[0], "kernel", "a test")
        >>> dense(tf.constant([[1.0], [2.0]]), tf.constant([[3.0, 4.0]])).numpy()
        array([[11.]], dtype=float32)
    """

    def __init__(self, layer: tf_keras.layers.Layer, name: str, where: str):
        def viewed(next_creator, **kwargs):
            variable = next_creator(**kwargs)
            if not variable.dtype.is_floating:
                return variable
            return QuantizedVariable.from_variable(variable)

        with tf.variable_creator_scope(viewed):
            self.layer = layer_like(layer, where)
            self.layer.build(layer.input_shape)
        self.layer.built = True
        carry(layer, self.layer, where)
        self._kernel: Any = None
        getattr(self.layer, name).read_through(lambda latent: self._kernel)

    def __call__(self, kernel, inputs) -> tf.Tensor:
        """What the layer gives out in inference.

        Args:
            kernel: tensor of the kernel's shape.
            inputs: tensor.
        """
        self._kernel = tf.convert_to_tensor(kernel)
        try:
            with context.quantized_scope(True):
                return call_in_inference(self.layer, (inputs,))
        finally:
            self._kernel = None
