"""One call of a wrapped layer, as a lowering sees it."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from larqlite.qat import _quantized_views
from larqlite.qat.lowerings._weight import Weight

__all__ = ["WrappedCall"]


@dataclasses.dataclass(frozen=True)
class WrappedCall:
    """What goes into a layer, and what it computes with.

    Attributes:
        name: of the wrapper.
        layer: the Keras layer.
        inputs: a tensor of known rank.
        weight: its quantized weight, or None.
        ends_in_range: whether what it computes is quantized by the wrapper, not by a
            layer that follows.
        sums_are_rounded: whether nothing but a ReLU comes before that.
        has_mask: whether a mask comes with the inputs.
    """

    name: str
    layer: Any
    inputs: tf.Tensor
    weight: Weight | None
    ends_in_range: bool
    sums_are_rounded: bool = False
    has_mask: bool = False

    def of_keras(self, values: tf.Tensor) -> tf.Tensor:
        """What the layer itself computes with these values of its weight."""
        values = tf.cast(values, self.weight.dtype)
        with _quantized_views.reading({id(self.weight.hook): values}):
            return self.layer(self.inputs)

    def like_inputs(self, values: tf.Tensor) -> tf.Tensor:
        """Values in the dtype that the layer computes in."""
        return tf.cast(values, self.inputs.dtype)

    def with_bias(self, outputs: tf.Tensor) -> tf.Tensor:
        """`outputs + bias`, if there is one."""
        if not self.layer.use_bias:
            return outputs
        bias = tf.convert_to_tensor(self.layer.bias.latent_variable)
        return tf.nn.bias_add(outputs, self.like_inputs(bias))

    def activated(self, outputs: tf.Tensor) -> tf.Tensor:
        """`activation(outputs)`, with its fake quantization."""
        activation = self.layer.activation
        return outputs if activation is None else activation(outputs)
