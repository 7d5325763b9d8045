"""The integer zero padding layer."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._registry import quantizes

__all__ = ["QuantizedZeroPadding2D"]


@quantizes(tf_keras.layers.ZeroPadding2D)
class QuantizedZeroPadding2D(QuantizedLayer, tf_keras.layers.ZeroPadding2D):
    """Rows and columns of zeros around quantized inputs: 0 is 0 in every scale.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`; output: the same type,
    `(batch, height + top + bottom, width + left + right, channels)`.

    Args:
        padding: an integer, two (rows, columns), or `((top, bottom), (left, right))`.
        data_format: "channels_last", or None.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[[[3]]]], value_bits=7, frac_bits=0)
        >>> y = lq.integer.layers.QuantizedZeroPadding2D(((0, 0), (1, 0)))(x)
        >>> y.values.numpy().ravel()
        array([0., 3.], dtype=float32)
    """

    requires_aligned_inputs = False

    def compute(self, inputs):
        """The integers between zeros."""
        rows, columns = self.padding
        return tf.pad(inputs, [[0, 0], list(rows), list(columns), [0, 0]])
