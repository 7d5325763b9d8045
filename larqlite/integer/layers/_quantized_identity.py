"""Layers that do nothing to integers: dropout, which is for training float models."""

from __future__ import annotations

import tf_keras

from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._registry import quantizes

__all__ = ["QuantizedDropout"]


@quantizes(tf_keras.layers.Dropout)
class QuantizedDropout(QuantizedLayer, tf_keras.layers.Dropout):
    """A dropout layer that lets quantized inputs pass, in training too.

    Args:
        rate: the rate of the float layer, kept for its configuration.
        **kwargs: those of the Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[3, -4]], value_bits=7, frac_bits=1)
        >>> lq.integer.layers.QuantizedDropout(0.5)(x, training=True).values.numpy()
        array([[ 3., -4.]], dtype=float32)
    """

    requires_aligned_inputs = False

    def call(self, inputs, training=None):
        """The inputs, whether `training` or not."""
        return super().call(inputs)

    def compute(self, inputs):
        """The inputs."""
        return inputs
