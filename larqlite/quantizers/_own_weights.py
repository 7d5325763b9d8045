"""Quantizers with weights of their own: which they are and what they do, once for either Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.math import as_floating
from larqlite.quantizers._base import Quantizer

__all__ = ["OwnWeight", "WithWeights"]


class OwnWeight(NamedTuple):
    """A weight of a quantizer.

    Attributes:
        shape: of the weight.
        start: an initializer of Keras, by name, or the number that it starts at.
        trainable: whether gradients train it.
        set_by_calls: whether calls in training set it; of replicas, each with a part of a
            batch, to the mean of what each of them would.
        l2: its square times this is added to the loss.
    """

    shape: tuple[int, ...] = ()
    start: str | float = "ones"
    trainable: bool = True
    set_by_calls: bool = False
    l2: float = 0.0

    def arguments(self) -> dict[str, Any]:
        """Those of `add_weight`, of either Keras, but the name and the initializer."""
        return {"shape": self.shape, "trainable": self.trainable}


class WithWeights(Quantizer):
    """Base class: write `own_weights`, `levels` and `derivative`, in words of `ops_of(x)`.

    `lq.keras3` makes the weights in Keras 3, and calls the same `levels`.
    """

    def own_weights(self, input_shape) -> Mapping[str, OwnWeight]:
        """The weights by name, in order, for inputs of a shape."""
        raise NotImplementedError

    def levels(self, x, *weights):
        """The quantized values of `x`, whose gradients flow to `x` and to the weights.

        Args:
            x: floating-point tensor.
            *weights: tensors in the order of `own_weights`, in the dtype of `x`.
        """
        raise NotImplementedError

    def starts(self, values: np.ndarray) -> Mapping[str, np.ndarray]:
        """Where weights start that follow the first values of a kernel: none by default."""
        return {}

    def build(self, input_shape):
        for name, weight in self.own_weights(input_shape).items():
            start = weight.start
            if not isinstance(start, str):
                start = tf.constant_initializer(start)
            aggregation = tf.VariableAggregation.NONE
            if weight.set_by_calls:
                aggregation = tf.VariableAggregation.MEAN
            made = self.add_weight(
                name,
                initializer=start,
                aggregation=aggregation,
                regularizer=tf_keras.regularizers.L2(weight.l2) if weight.l2 else None,
                **weight.arguments(),
            )
            setattr(self, name, made)
        self._weight_names = tuple(self.own_weights(input_shape))
        super().build(input_shape)

    @property
    def training_state(self) -> list:
        return self.non_trainable_weights

    def start_from(self, values) -> None:
        # A build within a graph has no values yet: weights stay where `own_weights` starts them.
        if not tf.executing_eagerly():
            return
        for name, start in self.starts(np.asarray(values, np.float32)).items():
            getattr(self, name).assign(start)

    def call(self, inputs):
        return self.quantize(inputs)

    def quantize(self, x):
        x = as_floating(x, self._where())
        return self.levels(x, *self._weights_like(x))

    def forward(self, x):
        return self.quantize(x)

    def _weights_like(self, x: tf.Tensor) -> list[tf.Tensor]:
        """The weights as tensors in the dtype of `x`."""
        return [tf.cast(getattr(self, name), x.dtype) for name in self._weight_names]
