"""A layer that keeps what it reads out of the converter's integers."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object

__all__ = ["FloatBarrier"]


@register_object(bare=False)
class FloatBarrier(tf_keras.layers.Layer):
    """Gives out what comes in, by an operation that TFLite only has in float32.

    $x = elu(\\max(x, 0)) - elu(\\max(-x, 0))$, since elu(x) = x for x >= 0. Without it,
    the converter makes a float layer between quantized ones int8, by ranges of its own.
    """

    def call(self, inputs):
        positive, negative = tf.nn.relu(inputs), tf.nn.relu(-inputs)
        return tf.nn.elu(positive) - tf.nn.elu(negative)
