"""Operations that combine tensors and arrays number by number, whatever their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.onnx_graph import (
    Value,
    beside,
    broadcast,
    in_one_order,
    refuse,
    same_rank,
)

if TYPE_CHECKING:
    from larqlite.onnx_graph import Writer


def unary(graph: Writer, value: Value, op: str, **attributes) -> Value:
    """An ONNX operation on each number of a value."""
    name = graph.node(op, [value.name], **attributes)
    return graph.value(name, value.shape, like=value)


def with_arrays(graph: Writer, value: Value, op: str, *arrays: Any) -> Value:
    """An ONNX operation on a value and arrays that broadcast against it.

    Args:
        graph: the graph.
        value: its first operand.
        op: the operation, e.g. `"Mul"`.
        *arrays: the other operands: numbers, or arrays shaped for the Keras tensor.
    """
    names = [constant(graph, value, array) for array in arrays]
    name = graph.node(op, [value.name, *names])
    return graph.value(name, value.shape, like=value)


def elementwise(
    graph: Writer,
    layer: Any,
    op: str,
    operands: Sequence[Value | Any],
    tensor: Callable[..., Value] | None = None,
) -> Value:
    """An ONNX operation on values and arrays that broadcast as in NumPy.

    Args:
        graph: the graph.
        layer: for messages.
        op: the operation; it takes the operands in their order.
        operands: values, all with the batch first and of one rank; and arrays.
        tensor: makes the result of a name, shape, and a value of its order;
            `graph.value` by default.

    Raises:
        UnsupportedLayerError: values of different ranks, or an array with a batch.
    """
    values = [operand for operand in operands if isinstance(operand, Value)]
    same_rank(graph, layer, values)
    values = in_one_order(graph, values)
    like, remaining = values[0], iter(values)
    names, shapes = [], [value.shape for value in values]
    for operand in operands:
        if isinstance(operand, Value):
            names.append(next(remaining).name)
            continue
        array = _without_batch(graph, layer, like, operand)
        names.append(constant(graph, like, array))
        shapes.append((None, *(1,) * (like.rank - 1 - array.ndim), *array.shape))
    name = graph.node(op, names)
    return (tensor or graph.value)(name, broadcast(shapes), like=like)


def constant(graph: Writer, value: Value, array: Any) -> str:
    """The name of an array shaped to be combined with the stored tensor of a value."""
    array = np.asarray(array)
    if array.dtype != bool:
        array = array.astype(np.float32)
    return graph.constant(beside(value, array))


def _without_batch(graph: Writer, layer: Any, value: Value, array: Any) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim < value.rank:
        return array
    if array.ndim == value.rank and array.shape[0] == 1:
        return array[0]
    raise refuse(
        layer,
        graph.path,
        f"it combines a tensor of the shape {value.shape} with an array of the shape "
        f"{array.shape}, which has a batch of its own",
        "leave out the first axis of the array",
    )
