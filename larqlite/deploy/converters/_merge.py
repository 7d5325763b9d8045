"""Layers that combine several tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._elementwise import elementwise, with_arrays
from larqlite.deploy.converters._norm import l2_normalized
from larqlite.onnx_graph import (
    expanded,
    in_one_order,
    permuted,
    refuse,
    reshaped,
    same_rank,
)
from larqlite_runtime.format import united_type

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers

OPERATIONS = {
    layers.Add: "Add",
    layers.Subtract: "Sub",
    layers.Multiply: "Mul",
    layers.Average: "Add",
    layers.Maximum: "Max",
    layers.Minimum: "Min",
}
KEEPING_LEVELS = ("Max", "Min")


def _register(cls: type, op: str) -> None:
    @converter(cls)
    def convert(graph: Writer, layer, values: Sequence[Value]) -> Value:
        total = merged(graph, layer, op, values)
        if cls is layers.Average:
            return with_arrays(graph, total, "Div", len(values))
        return total


for _cls, _op in OPERATIONS.items():
    _register(_cls, _op)


def merged(graph: Writer, layer, op: str, values: Sequence[Value]) -> Value:
    """An ONNX operation from the first value on, the others added one by one.

    As in Keras, a tensor with fewer axes than another gets new ones after the batch.
    """
    rank = max(value.rank for value in values)
    values = [_with_rank(graph, value, rank) for value in values]
    total, *others = values
    for value in others:
        total = elementwise(graph, layer, op, [total, value])
    if op in KEEPING_LEVELS:
        total = total.with_levels(united_type(*(value.levels for value in values)))
    return total


@converter(layers.Concatenate)
def convert_concatenate(graph: Writer, layer, values: Sequence[Value]) -> Value:
    """`Concat`."""
    return concatenated(graph, layer, values, layer.axis)


def concatenated(graph: Writer, layer, values: Sequence[Value], axis: int) -> Value:
    """Values one after the other along an axis of the Keras tensors."""
    same_rank(graph, layer, values)
    axis %= values[0].rank
    if axis == 0:
        raise refuse(
            layer,
            graph.path,
            "it joins batches, and the file has the batch of its input throughout",
            "join along another axis",
        )
    first, *_ = values = in_one_order(graph, values)
    if len(values) == 1:
        return first
    shape = list(first.shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    names = [value.name for value in values]
    name = graph.node("Concat", names, axis=first.stored_axis(axis))
    levels = united_type(*(value.levels for value in values))
    return graph.value(name, tuple(shape), like=first, levels=levels)


@converter(layers.Dot)
def convert_dot(graph: Writer, layer, values: Sequence[Value]) -> Value:
    """`MatMul` of each sample's tensors, the axes that are summed brought together."""
    left, right = values
    axes = layer.axes if isinstance(layer.axes, (list, tuple)) else [layer.axes] * 2
    axes = [axis % value.rank for axis, value in zip(axes, values, strict=True)]
    if left.rank > 3 or right.rank > 3:
        raise refuse(
            layer,
            graph.path,
            f"it multiplies tensors of the shapes {left.shape} and {right.shape}",
            "reshape them to at most three axes before",
        )
    if layer.normalize:
        left, right = (
            l2_normalized(graph, layer, value, [axis], 1e-12)
            for value, axis in zip(values, axes, strict=True)
        )
    summed = left.shape[axes[0]]
    rows = [size for i, size in enumerate(left.shape) if i not in (0, axes[0])]
    columns = [size for i, size in enumerate(right.shape) if i not in (0, axes[1])]
    if axes[0] == 1 and left.rank == 3:
        left = permuted(graph, left, (0, 2, 1))
    if axes[1] == 2:
        right = permuted(graph, right, (0, 2, 1))
    left = reshaped(graph, left, (None, *(rows or [1]), summed), is_moved=False)
    right = reshaped(graph, right, (None, summed, *(columns or [1])), is_moved=False)
    name = graph.node("MatMul", [left.name, right.name])
    product = graph.value(name, (None, left.shape[1], right.shape[2]))
    return reshaped(graph, product, (None, *(rows + columns or [1])))


def _with_rank(graph: Writer, value: Value, rank: int) -> Value:
    while value.rank < rank:
        value = expanded(graph, value, 1)
    return value
