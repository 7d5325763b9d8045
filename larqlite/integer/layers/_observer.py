"""The calibration layer that follows the range of what passes through it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.graph import LayerFacts
from larqlite.integer.layers._layer_classes import known, register_layer
from larqlite.integer.layers._output_quantizer import shape_of_ranges
from larqlite.primitives import granularity, other_axes

__all__ = ["OutputObserver"]


@known(LayerFacts(values="reshaped", is_monotone=True))
@register_layer
class OutputObserver(tf_keras.layers.Layer):
    r"""Passes its inputs on, and follows their largest magnitude.

    The first call takes $r = \max|x|$; each further one moves it,
    $r \leftarrow r + (1 - momentum)(\max|x| - r)$. The maximum runs over the batch and
    all positions.

    Args:
        axis: "per-tensor", or "per-axis" for a range of each channel of the last axis.
        momentum: how much of the range a call keeps, 0 to 1.

    Raises:
        ArgumentError: another `axis`, or a momentum outside of 0 to 1.

    >>> observer = lq.integer.layers.OutputObserver(momentum=0.5)
    >>> _ = observer(tf.constant([[1.0, -4.0]])), observer(tf.constant([[2.0, 1.0]]))
    >>> float(observer.range_max)
    3.0
    """

    def __init__(self, axis: str = "per-tensor", momentum: float = 0.9, **kwargs):
        super().__init__(**kwargs)
        self._where = f'OutputObserver "{self.name}"'
        self.axis = granularity(axis, self._where)
        if not 0 <= momentum <= 1:
            raise ArgumentError(
                f"{self._where}: momentum={momentum!r} is not between 0 and 1.\n"
                "  Fix: momentum=0.9."
            )
        self.momentum = float(momentum)

    def build(self, input_shape):
        """Creates the range and the flag that tells whether it was observed."""
        shape = shape_of_ranges(self.axis, input_shape, self._where)
        self.range_max = self.add_weight(
            name="range_max", shape=shape, initializer="ones", trainable=False
        )
        self.observed = self.add_weight(
            name="observed",
            shape=(),
            dtype="uint8",
            initializer="zeros",
            trainable=False,
        )
        super().build(input_shape)

    def call(self, inputs):
        """Follows the range of `inputs`, and returns them as they are."""
        return self._observed(inputs)

    @tf.autograph.experimental.do_not_convert
    def _observed(self, inputs):
        axes = None if self.axis == "per-tensor" else other_axes(inputs.shape.rank)
        largest = tf.reduce_max(tf.abs(inputs), axes)
        largest = tf.cast(largest, self.range_max.dtype)
        kept = self.momentum * tf.cast(self.observed, largest.dtype)
        # A range that was never observed has the weight 0, so its value is not seen.
        self.range_max.assign(self.range_max + (1 - kept) * (largest - self.range_max))
        self.observed.assign(1)
        return inputs

    @property
    def training_state(self) -> list:
        """The range, and whether it was observed."""
        return list(self.weights)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return {**super().get_config(), "axis": self.axis, "momentum": self.momentum}
