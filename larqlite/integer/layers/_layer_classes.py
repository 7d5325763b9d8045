"""Which quantized layer takes the place of which float layer, and their names in files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.keras_tensor import KerasTensor

from larqlite._registration import Registry
from larqlite.graph import FACTS, LayerFacts, add_layer_facts
from larqlite.integer.tensors.internal import only_signature
from larqlite.models.internal import Formula, mac_formula, no_macs

__all__ = [
    "QUANTIZED",
    "NamedWeights",
    "ToldTypes",
    "float_class",
    "known",
    "quantized_class",
    "quantizes",
    "register_layer",
]

PACKAGE = "larqlite.integer"

QUANTIZED: dict[type, type] = Registry()
_NOTHING_SAID = LayerFacts()


def register_layer(cls: type, name: str | None = None) -> type:
    """Decorator: a class that Keras files name `larqlite.integer>ClassName`.

    No bare name is registered: "Add" and "Attention" are Keras' own.

    Args:
        cls: the class.
        name: what files call it, if that is not its name.
    """
    register = tf_keras.saving.register_keras_serializable
    return register(PACKAGE, name or cls.__name__)(cls)


def known(
    facts: LayerFacts | Callable = _NOTHING_SAID, formula: Formula = no_macs
) -> Callable[[type], type]:
    """Decorator: what is true of a layer class, and which products it adds up.

    Args:
        facts: the record of the class, or a function that makes it from a layer.
        formula: yields the multiply-accumulates of a call; none by default.

    Returns:
        A decorator that returns the class.
    """

    def decorator(cls: type) -> type:
        add_layer_facts(cls, facts)
        mac_formula(cls)(formula)
        return cls

    return decorator


class ToldTypes:
    """Mixin: what Keras asks when a model is put together, which types, shapes and bounds
    come out, is answered without computing."""

    def __call__(self, inputs, *args, **kwargs):
        tensors = tf.nest.flatten(inputs)
        is_asked = any(isinstance(tensor, KerasTensor) for tensor in tensors)
        with only_signature() if is_asked else contextlib.nullcontext():
            return super().__call__(inputs, *args, **kwargs)


class NamedWeights:
    """Mixin: weights that keep the names that `.h5` files need, however they are built."""

    def build_from_config(self, config):
        """As in Keras, but the names of weights begin with the layer's."""
        with tf.name_scope(self.name):
            super().build_from_config(config)


def quantizes(*float_classes: type) -> Callable[[type], type]:
    """Decorator: a class that quantization puts in the place of `float_classes`.

    The class is registered with Keras too, and has the layer facts of the float one.

    Args:
        float_classes: the float layers' classes; matched exactly, since a subclass may
            compute something else.

    Returns:
        A decorator that returns the class.
    """

    def decorator(cls: type) -> type:
        for float_cls in float_classes:
            QUANTIZED[float_cls] = cls
            if float_cls in FACTS:
                FACTS.setdefault(cls, FACTS[float_cls])
        return register_layer(cls)

    return decorator


def quantized_class(layer) -> type | None:
    """The quantized class for a float layer, or for its class; None where there is none.

    >>> from larqlite.integer.layers.internal import quantized_class
    >>> quantized_class(tf_keras.layers.Conv2D(8, 3)).__name__
    'QuantizedConv2D'
    >>> quantized_class(tf_keras.layers.LSTM) is None
    True
    """
    if isinstance(layer, type):
        return QUANTIZED.get(layer)
    cls = QUANTIZED.get(type(layer))
    # An Activation has several, by its function.
    return cls.class_for(layer) if hasattr(cls, "class_for") else cls


def float_class(layer) -> type | None:
    """The first float class that the class of a quantized layer takes the place of."""
    cls = layer if isinstance(layer, type) else type(layer)
    return next((known for known, value in QUANTIZED.items() if value is cls), None)
