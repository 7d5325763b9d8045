"""Layers of one network with any quantizers, or in floats: its twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

import larqlite as lq

FLOAT = "float"
_layers = tf_keras.layers


@dataclass(frozen=True)
class QuantizedLayers:
    """The quantizers of a network: each layer gets its own of them.

    Attributes:
        inputs: of what enters a layer: a name, a name with arguments, whatever else
            `lq.quantizers.get` takes; None or "float" for none.
        kernels: of its weights, likewise.
    """

    inputs: Any = None
    kernels: Any = None

    def __post_init__(self) -> None:
        for name in ("inputs", "kernels"):
            if getattr(self, name) == FLOAT:
                object.__setattr__(self, name, None)
            lq.quantizers.get(getattr(self, name))  # refuses before anything is built

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return self.inputs is None and self.kernels is None

    def activation(self, x):
        """A ReLU, unless the quantizer behind it takes its place.

        Signs and their like do, which bend what they read at 0 and tell negative inputs
        apart: behind a ReLU all of these would be one. Signed ones of many bits are nearly
        linear, and need it.
        """
        return x if self.bends_at_zero else _layers.ReLU()(x)

    @property
    def bends_at_zero(self) -> bool:
        """Whether the quantizer of inputs has four levels at most, some below zero."""
        if self.inputs is None:
            return False
        with tf.init_scope():
            quantizer = lq.quantizers.get(self.inputs)
            level = quantizer(tf.constant([[-1.0]]))
            return getattr(quantizer, "precision", 32) <= 2 and float(level[0, 0]) < 0

    def conv(self, filters: int, size, *, quantizes_input: bool = True, **settings):
        """A 2D convolution; the first one of a network has an input of its own."""
        if self.is_float:
            return _layers.Conv2D(filters, size, **settings)
        return lq.layers.QuantConv2D(
            filters, size, **settings, **self._arguments("kernel", quantizes_input)
        )

    def depthwise(self, size, **settings):
        """A depthwise convolution."""
        if self.is_float:
            return _layers.DepthwiseConv2D(size, **settings)
        return lq.layers.QuantDepthwiseConv2D(
            size, **settings, **self._arguments("depthwise", True)
        )

    def dense(self, units: int, **settings):
        """A dense layer."""
        if self.is_float:
            return _layers.Dense(units, **settings)
        return lq.layers.QuantDense(
            units, **settings, **self._arguments("kernel", True)
        )

    def _arguments(self, kernel: str, quantizes_input: bool) -> dict[str, Any]:
        quantizer = lq.quantizers.get(self.kernels)
        starves = getattr(quantizer, "precision", 32) <= 2 and not getattr(
            quantizer, "gradient_everywhere", False
        )
        return {
            "input_quantizer": self.inputs if quantizes_input else None,
            f"{kernel}_quantizer": self.kernels,
            f"{kernel}_constraint": "weight_clip" if starves else None,
        }
