"""What converters of TensorFlow functions share: their arguments, by name, as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.deploy._converter_tables import operator
from larqlite.onnx_graph import Value, refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph import Writer


def tensorflow(*symbols: str) -> Callable:
    """Decorator: a converter whose last argument has TensorFlow's arguments by name.

    The converter takes the graph, the layer, and what the function was called with,
    defaults included, as attributes under the names of TensorFlow's signature.

    Args:
        *symbols: public names of functions, e.g. `"math.add"`.
    """

    def decorator(convert: Callable) -> Callable:
        def bound(graph: Writer, layer, *args, **kwargs):
            call = inspect.signature(layer.function).bind(*args, **kwargs)
            call.apply_defaults()
            return convert(graph, layer, SimpleNamespace(**call.arguments))

        operator(*symbols)(bound)
        return convert

    return decorator


def first(call: SimpleNamespace) -> Any:
    """The first argument, whatever its name."""
    return next(iter(vars(call).values()))


def operands(call: SimpleNamespace) -> list[Value | np.ndarray]:
    """The first two arguments."""
    return [operand(argument) for argument in list(vars(call).values())[:2]]


def operand(argument: Any) -> Value | np.ndarray:
    """A value, or the array that a number, tensor or variable holds."""
    return argument if isinstance(argument, Value) else np.asarray(argument)


def integers(graph: Writer, layer, argument: Any, what: str) -> list[int]:
    """Axes or sizes as numbers.

    Raises:
        UnsupportedLayerError: they are computed in the network.
    """
    parts = argument if isinstance(argument, (list, tuple)) else [argument]
    if any(isinstance(part, Value) for part in parts):
        raise refuse(
            layer,
            graph.path,
            f"its {what} is computed in the network",
            "give it as numbers; the batch of a shape as -1",
        )
    return np.ravel(np.asarray(argument)).astype(int).tolist()


def reduced_axes(graph: Writer, layer, value: Value, axis: Any) -> list[int]:
    """The axes of a sum, mean ... counted from the front.

    Raises:
        UnsupportedLayerError: the batch is one of them.
    """
    if axis is not None:
        axis = integers(graph, layer, axis, "axis")
    axes = range(value.rank) if axis is None else [i % value.rank for i in axis]
    if 0 in axes:
        raise refuse(
            layer,
            graph.path,
            "it combines the samples of a batch, so that they depend on each other",
            "name the other axes: "
            f"axis={list(range(1, value.rank))} for an input of the shape {value.shape}",
        )
    return list(axes)
