"""The layer that computes an operation of `keras.ops` in tf_keras; files hold its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._registration import Registry, register_object
from larqlite.graph import LayerFacts, add_layer_facts

FUNCTIONS: Registry = Registry()


def function(*names: str) -> Callable:
    """Decorator: what computes operations of these names in TensorFlow."""

    def decorator(computing: Callable) -> Callable:
        for name in names:
            FUNCTIONS[name] = computing
        return computing

    return decorator


def encoded(value: Any) -> Any:
    """An argument as JSON holds it: slices, ellipses and arrays as dictionaries."""
    if isinstance(value, slice):
        return {"slice": [encoded(v) for v in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [encoded(v) for v in value]
    if isinstance(value, dict):
        return {key: encoded(v) for key, v in value.items()}
    return value


def decoded(value: Any, tensors: list) -> Any:
    """What `encoded` gave, and tensors in the place of `{"tensor": i}`."""
    if isinstance(value, Mapping):
        if "tensor" in value:
            return tensors[value["tensor"]]
        if "slice" in value:
            return slice(*value["slice"])
        if "ellipsis" in value:
            return Ellipsis
        if "array" in value:
            return tf.constant(value["array"], value["dtype"])
        return {key: decoded(v, tensors) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [decoded(v, tensors) for v in value]
    return value


@register_object(bare=False)
class KerasOperation(tf_keras.layers.Layer):
    """An operation of `keras.ops` on the tensors that it is called with, a list.

    Args:
        operation: the name of its class in Keras 3, such as "Einsum".
        arguments: `[args, kwargs]` as `encoded`, with `{"tensor": i}` for the tensors.
        settings: what the operation was made with, such as an axis.
        result: the dtype of what comes out.
        common: the dtype in which the arguments are put together, or None.
    """

    def __init__(
        self,
        operation: str,
        arguments: list,
        settings: dict,
        result: str,
        common: str | None = None,
        **kwargs,
    ):
        super().__init__(autocast=False, **{**kwargs, "dtype": "float32"})
        self.operation = operation
        self.arguments = arguments
        self.settings = settings
        self.result = result
        self.common = common

    def call(self, inputs):
        return _computed(self, inputs)

    def get_config(self):
        own = {
            "operation": self.operation,
            "arguments": self.arguments,
            "settings": self.settings,
            "result": self.result,
            "common": self.common,
        }
        return {**super().get_config(), **own}


@tf.autograph.experimental.do_not_convert
def _computed(layer: KerasOperation, inputs: Any) -> Any:
    tensors = inputs if isinstance(inputs, list | tuple) else [inputs]
    if layer.common is not None:
        tensors = [tf.cast(t, layer.common) for t in tensors]
    args, kwargs = decoded(layer.arguments, list(tensors))
    if layer.common is not None:
        args = [_number(value, layer.common) for value in args]
    settings = decoded(layer.settings, [])
    outputs = FUNCTIONS[layer.operation](*args, **kwargs, **settings)
    return tf.nest.map_structure(
        lambda t: t if t.dtype == layer.result else tf.cast(t, layer.result), outputs
    )


def _number(value: Any, dtype: str) -> Any:
    if isinstance(value, bool | int | float):
        return tf.cast(value, dtype)
    return tf.cast(value, dtype) if isinstance(value, tf.Tensor) else value


add_layer_facts(KerasOperation, LayerFacts())
