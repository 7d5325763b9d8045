"""The integer form of a Rescaling: a scale beside the integers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors import QFloat

__all__ = ["QuantizedRescaling"]


@quantizes(tf_keras.layers.Rescaling)
class QuantizedRescaling(QuantizedLayer, tf_keras.layers.Rescaling):
    """Integers with a scale: nothing is computed.

    Input: tensor of 8-bit integers, signed or not (floats are cut to integers). Output:
    QFloat of these integers (8 value bits, no fractional bits) and the scale.

    Args:
        scale: a number > 0.
        offset: must be 0.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: a scale that is not one number > 0, or an offset other than 0.

    Example:
        >>> y = lq.integer.layers.QuantizedRescaling(scale=0.5)(np.array([[3, 255]]))
        >>> y.fp.values.numpy(), float(y.scales)
        (array([[  3., 255.]], dtype=float32), 0.5)
    """

    requires_aligned_inputs = False
    accepts = (tf.Tensor,)

    def __init__(self, scale: float, offset: float = 0.0, **kwargs):
        super().__init__(scale, offset, **kwargs)
        if np.ndim(scale) != 0 or not np.all(np.asarray(scale) > 0):
            raise ArgumentError(
                f"{self.where}: scale={scale!r}, but integers take one scale > 0.\n"
                "  Fix: `lq.integer.models.transforms.align_rescaling(model)` folds it "
                "into the next layer."
            )
        if np.any(np.asarray(offset) != 0):
            raise ArgumentError(
                f"{self.where}: offset={offset!r}, but integers take none.\n"
                "  Fix: `lq.integer.models.transforms.align_rescaling(model)` folds it "
                "into the next layer."
            )

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        if np.ndim(layer.scale) == 0 and layer.scale > 0 and not np.any(layer.offset):
            return None
        return (
            f"its scale={layer.scale!r} and offset={layer.offset!r} are not one scale > 0 "
            "alone"
        )

    def compute(self, inputs):
        """The integers and their scale."""
        return QFloat(inputs, tf.constant(float(self.scale), tf.float32))
