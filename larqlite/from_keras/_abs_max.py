"""The quantizer of Keras 3's int8 and int4 layers: as many steps as fit up to the largest value."""

from __future__ import annotations

import tensorflow as tf

from larqlite._registration import register_object
from larqlite.quantizers import Quantizer

EPSILON = 1e-7  # what Keras 3 adds to the largest magnitude


@register_object(bare=False)
class AbsMaxLevels(Quantizer):
    r"""Rounds to whole steps, of which $h = 2^{bits-1} - 1$ reach the largest magnitude.

    $$ q(x) = \mathrm{round}(s x) / s, \qquad s = h / (\max |x| + 10^{-7}) $$

    with the maximum along one axis, for each input anew. The gradient passes unchanged.

    Args:
        bits: 8 or 4.
        axis: along which the largest magnitude is looked for: -1 for the input of a dense
            layer, each row by itself; 0 for its kernel, each output channel by itself.
    """

    def __init__(self, bits: int = 8, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.bits = bits
        self.axis = axis
        self.precision = bits

    def forward(self, x):
        highest = 2 ** (self.bits - 1) - 1
        largest = tf.reduce_max(tf.abs(x), axis=self.axis, keepdims=True)
        scale = tf.cast(highest, x.dtype) / (largest + tf.cast(EPSILON, x.dtype))
        return tf.clip_by_value(tf.round(x * scale), -highest - 1, highest) / scale

    def derivative(self, x):
        return tf.ones_like(x, tf.bool)

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "axis": self.axis}
