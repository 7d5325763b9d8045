"""The integer upsampling layer."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors.internal import moved

__all__ = ["QuantizedUpSampling2D"]


@quantizes(tf_keras.layers.UpSampling2D)
class QuantizedUpSampling2D(QuantizedLayer, tf_keras.layers.UpSampling2D):
    """An upsampling layer on quantized inputs: every integer several times.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`; output: the same type,
    `(batch, height * size[0], width * size[1], channels)`.

    Args:
        size: how many times rows and columns are repeated, an integer or two.
        data_format: "channels_last", or None.
        interpolation: "nearest".
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: another interpolation, which would compute new values.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[[[3], [-4]]]], value_bits=7, frac_bits=0)
        >>> lq.integer.layers.QuantizedUpSampling2D((1, 2))(x).values.numpy().ravel()
        array([ 3.,  3., -4., -4.], dtype=float32)
    """

    requires_aligned_inputs = False

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, interpolation, **kwargs)
        if self.interpolation != "nearest":
            raise ArgumentError(
                f'{self.where}: interpolation="{interpolation}" computes values between '
                "the integers.\n"
                '  Fix: interpolation="nearest", followed by a DepthwiseConv2D if it has '
                "to be smooth."
            )

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        if layer.interpolation == "nearest":
            return None
        return f'its interpolation="{layer.interpolation}" has no integer form'

    def compute(self, inputs):
        """The repeated integers."""
        sizes = inputs.shape[1:3]
        if None in list(sizes):
            sizes = tf.shape(getattr(inputs, "fp", inputs).values)[1:3]
        sizes = [sizes[0] * self.size[0], sizes[1] * self.size[1]]
        return moved(inputs, lambda v: tf.image.resize(v, sizes, "nearest"))
