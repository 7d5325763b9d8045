"""The way out of the integers: quantized tensors as floats."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.graph import LayerFacts
from larqlite.integer.layers._layer_classes import known, register_layer
from larqlite.integer.layers._recording import TensorRecorder
from larqlite.integer.tensors import QFloat, QTensor

__all__ = ["Dequantizer"]


@known(LayerFacts(is_monotone=True))
@register_layer
class Dequantizer(tf_keras.layers.Layer):
    r"""The numbers that quantized tensors stand for, as float32: $v \cdot 2^{-f} \cdot s$.

    While recording, `frac_bits` and `scales` keep those of the inputs (lists for
    several inputs; the scales of a FixedPoint are None).

    >>> x = lq.integer.tensors.FixedPoint([[3, -5]], value_bits=7, frac_bits=1)
    >>> lq.integer.layers.Dequantizer()(x).numpy()
    array([[ 1.5, -2.5]], dtype=float32)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._autocast = False
        # Past Keras, which would track the lists and save them.
        self.__dict__["_frac_bits"] = []
        self.__dict__["_scales"] = []

    @property
    def frac_bits(self):
        """The recorded fractional bits of the input, or a list of those of several."""
        return _of_recorders(self._frac_bits)

    @property
    def scales(self):
        """The recorded scales of the input, or a list of those of several."""
        return _of_recorders(self._scales)

    def build(self, input_shape):
        """Nothing to build: what it needs comes with the inputs."""
        super().build(input_shape)

    def call(self, inputs):
        """The inputs as floats.

        Args:
            inputs: tensor, or (nested) list of tensors; those that are not quantized are
                returned as they are.

        Returns:
            float32 tensors in the structure of `inputs`.
        """
        return self._dequantized(inputs)

    @tf.autograph.experimental.do_not_convert
    def _dequantized(self, inputs):
        tensors = tf.nest.flatten(inputs)
        while len(self._frac_bits) < len(tensors):
            place = len(self._frac_bits)
            self._frac_bits.append(TensorRecorder(f"{self.name}/frac_bits_{place}"))
            self._scales.append(TensorRecorder(f"{self.name}/scales_{place}"))
        outputs = [self._to_float(x, place) for place, x in enumerate(tensors)]
        return tf.nest.pack_sequence_as(inputs, outputs)

    def _to_float(self, x, place: int):
        if not isinstance(x, QTensor):
            return x
        self._frac_bits[place](getattr(x, "fp", x).frac_bits)
        if isinstance(x, QFloat):
            self._scales[place](x.scales)
        return x.to_float()


def _of_recorders(recorders):
    values = [recorder.value for recorder in recorders]
    return values[0] if len(values) == 1 else values or None
