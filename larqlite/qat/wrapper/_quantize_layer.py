"""`QuantizeLayer`: fake quantization of a tensor between layers, as of a model's input."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._registration import deserialize_object, register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.qat import quantizers
from larqlite.qat.wrapper._call_phase import CallPhase, counted

__all__ = ["QuantizeLayer"]


@register_object(bare=False)
class QuantizeLayer(OfTfKeras, tf_keras.layers.Layer):
    """Quantizes what passes; `quantize_apply` puts one after each input.

    Args:
        quantizer: a `qat.quantizers.Quantizer`, or any quantizer of larqlite by name or
            as an object; None passes everything unchanged.
        **kwargs: those of a Keras layer.

    Example:
        >>> layer = lq.qat.QuantizeLayer(lq.qat.quantizers.FixedQuantizer(
        ...     num_bits=2, init_min=0.0, init_max=3.0, narrow_range=False))
        >>> layer(tf.constant([-1.0, 0.4, 2.6, 9.0])).numpy().tolist()
        [0.0, 0.0, 3.0, 3.0]
    """

    def __init__(self, quantizer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer = quantizers.get(quantizer)

    def build(self, input_shape):
        with_state = self.quantizer is not None
        self.quantizer_vars = {}
        if with_state:
            built = self.quantizer.build(input_shape, self.name, self)
            self.quantizer_vars = built or {}
        self.optimizer_step = self.add_weight(
            "optimizer_step",
            shape=(),
            initializer=tf_keras.initializers.Constant(-1),
            dtype="int32",
            trainable=False,
        )
        super().build(input_shape)

    @property
    def training_state(self) -> list:
        """Variables that are not deployed: the range, and the count of steps."""
        return list(self.non_trainable_weights)

    def build_from_config(self, config):
        """As in Keras, with the names that variables have in a call."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    @property
    def output_precision(self) -> int | None:
        """Bits of the values that come out, or None."""
        return getattr(self.quantizer, "precision", None)

    def call(self, inputs, training=None):
        if self.quantizer is None:
            return inputs
        step = counted(self.optimizer_step, [self.quantizer], training)
        phase = CallPhase(False if training is None else training, step)
        return phase.quantize(self.quantizer, inputs, self.quantizer_vars)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        serialized = self.quantizer and tf_keras.saving.serialize_keras_object(
            self.quantizer
        )
        return {**super().get_config(), "quantizer": serialized}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["quantizer"] = _deserialized(config.get("quantizer"))
        return cls(**config)


def _deserialized(config):
    if not isinstance(config, dict):
        return config
    return deserialize_object(config)
