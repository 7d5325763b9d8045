"""A layer normalization that divides by the mean magnitude."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.integer.layers._layer_classes import NamedWeights, known

__all__ = ["LayerMadNormalization"]


@known()
@register_object()
class LayerMadNormalization(NamedWeights, tf_keras.layers.LayerNormalization):
    r"""A layer normalization by the mean magnitude in place of the standard deviation.

    $$ y = \gamma \frac{x}{mad(x)} + \beta, \qquad mad(x) = \frac{1}{C} \sum_c |x_c| $$

    over the last axis, of $C$ channels. The mean is not subtracted, and `epsilon` is not
    used: where all of $x$ is 0, $x / mad(x)$ is 0. A model that was trained with
    `LayerNormalization` needs some more training after the change.

    Input and output: floating-point tensors of the same shape.

    Args:
        *args: those of `tf_keras.layers.LayerNormalization`; `axis` is the last one.
        **kwargs: likewise.

    Raises:
        ArgumentError: another axis than the last.

    Example:
        >>> layer = lq.integer.layers.LayerMadNormalization()
        >>> layer(tf.constant([[1.0, -3.0], [0.0, 0.0]])).numpy().tolist()
        [[0.5, -1.5], [0.0, 0.0]]
    """

    def build(self, input_shape):
        rank = len(input_shape)
        axes = [self.axis] if isinstance(self.axis, int) else list(self.axis)
        if [axis % rank for axis in axes] != [rank - 1]:
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": axis={self.axis} of an input of '
                f"shape {tuple(input_shape)}; only the last axis is supported.\n"
                "  Fix: axis=-1, with a Permute before it where channels are elsewhere."
            )
        super().build(input_shape)

    def call(self, inputs):
        inputs = tf.cast(inputs, self.compute_dtype)
        mad = tf.reduce_mean(tf.abs(inputs), axis=-1, keepdims=True)
        outputs = tf.math.divide_no_nan(inputs, mad)
        if self.gamma is not None:
            outputs *= tf.cast(self.gamma, outputs.dtype)
        if self.beta is not None:
            outputs += tf.cast(self.beta, outputs.dtype)
        return outputs
