"""An activation function with fake quantization before or after it."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.qat.wrapper._call_phase import current_phase

# What an int8 engine fixes the output range of, or computes by a table of its input.
BEFORE = ("softmax", "sigmoid", "tanh")
BOTH = ("gelu",)


@register_object()
class QuantizedActivation:
    """What takes the place of a layer's activation function.

    The input is quantized before softmax, sigmoid and tanh, whose output range is known;
    before and after gelu; the output after all others.

    Args:
        function: the activation function, tensor -> tensor.
        quantizer: the `qat.quantizers.Quantizer`.
        layer: the wrapper, which owns the variables.
        shape: shape of the layer's output.
    """

    def __init__(self, function, quantizer, layer, shape):
        self.function = function
        self.quantizer = quantizer
        name = name_of(function)
        self._before = self._after = None
        if name in BEFORE + BOTH:
            self._before = quantizer.build(shape, "pre_activation", layer) or {}
        if name not in BEFORE:
            self._after = quantizer.build(shape, "post_activation", layer) or {}

    @property
    def fixes_outputs(self) -> bool:
        """Whether values come out quantized."""
        return self._after is not None

    @property
    def quantizers(self) -> list:
        """`(what for, quantizer, its variables)`, in order of use."""
        places = (("pre-activation", self._before), ("activation", self._after))
        return [(role, self.quantizer, v) for role, v in places if v is not None]

    def __call__(self, x):
        phase = current_phase()
        if self._before is not None:
            x = phase.quantize(self.quantizer, x, self._before)
        x = self.function(x)
        if self._after is not None:
            x = phase.quantize(self.quantizer, x, self._after)
        return x

    def get_config(self) -> dict:
        """The function alone: a layer that is read from a file gets it as it was."""
        return {"function": tf_keras.activations.serialize(self.function)}

    @classmethod
    def from_config(cls, config: dict):
        """The function."""
        return tf_keras.activations.deserialize(config["function"])


def name_of(function) -> str:
    """The name of an activation function; "linear" for none."""
    if function is None:
        return "linear"
    if isinstance(function, QuantizedActivation):
        return name_of(function.function)
    if isinstance(function, tf_keras.layers.Layer):
        return type(function).__name__.lower()
    return getattr(function, "__name__", type(function).__name__)
