"""An activation function with fake quantization before or after it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.qat.lowerings import (
    STORED_BITS,
    elu,
    has_range,
    is_exporting,
    range_of,
)
from larqlite.qat.wrapper._call_phase import current_phase

# What an int8 engine fixes the output range of.
BEFORE = ("softmax", "sigmoid", "tanh")
# What it computes of integers, as a table or step by step: the input has a range too.
OF_INTEGERS = ("gelu", "swish", "silu", "elu", "hard_swish", "leaky_relu")
# Those of them that have had a range before in all versions.
_BOTH = ("gelu",)


_only_sums: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_only_sums", default=False
)


@contextlib.contextmanager
def only_sums() -> Iterator[None]:
    """Within the block, layers give out what goes into their activation functions."""
    token = _only_sums.set(True)
    try:
        yield
    finally:
        _only_sums.reset(token)


@register_object()
class QuantizedActivation:
    """What takes the place of a layer's activation function.

    Where nothing else is said, the input is quantized before softmax, sigmoid and tanh,
    whose output range is known; before and after gelu; the output after all others.

    Args:
        function: the activation function, tensor -> tensor.
        quantizer: the `qat.quantizers.Quantizer`.
        layer: the wrapper, which owns the variables.
        shape: shape of the layer's output.
        place: "before" the function, "after" it or "both"; None for what its name says.
    """

    def __init__(self, function, quantizer, layer, shape, place=None):
        self.function = function
        self.quantizer = quantizer
        place = place or _place_of(name_of(function))
        self._before = self._after = None
        if place != "after":
            self._before = quantizer.build(shape, "pre_activation", layer) or {}
        if place != "before":
            self._after = quantizer.build(shape, "post_activation", layer) or {}

    @property
    def quantizes_sums(self) -> bool:
        """Whether what goes into the function is quantized."""
        return self._before is not None

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
        if _only_sums.get():
            return x
        phase = current_phase()
        if self._before is not None:
            x = phase.quantize(self.quantizer, x, self._before)
        x = self._computed(x)
        if self._after is not None:
            x = phase.quantize(self.quantizer, x, self._after)
        return x

    def _computed(self, x):
        is_elu = self.function is tf_keras.activations.elu
        rounded = self._before is not None and self._after is not None
        if not (is_elu and rounded and is_exporting() and has_range(self.quantizer)):
            return self.function(x)
        with tf.init_scope():
            ends = [end.numpy() for end in range_of(self.quantizer, self._after)]
        is_one = self.quantizer.num_bits == STORED_BITS and not ends[0].shape
        return elu(x, *map(float, ends)) if is_one else self.function(x)

    def get_config(self) -> dict:
        """The function alone: a layer that is read from a file gets it as it was."""
        return {"function": tf_keras.activations.serialize(self.function)}

    @classmethod
    def from_config(cls, config: dict):
        """The function."""
        return tf_keras.activations.deserialize(config["function"])


def _place_of(name: str) -> str:
    if name in _BOTH:
        return "both"
    return "before" if name in BEFORE else "after"


def name_of(function) -> str:
    """The name of an activation function; "linear" for none."""
    if function is None:
        return "linear"
    if isinstance(function, QuantizedActivation):
        return name_of(function.function)
    if isinstance(function, tf_keras.layers.Layer):
        return type(function).__name__.lower()
    return getattr(function, "__name__", type(function).__name__)
