"""Sizes that a float ONNX model works out from shapes, written down where they are asked for.

Exporters write a flatten as `Reshape (x, Concat (Gather (Shape (x), 0), -1))`, so that the
batch may have any size. `Reshape (x, [0, -1])` says the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.onnx_graph import OnnxNode
from larqlite_runtime.names import unique_name

__all__ = ["write_sizes"]


class _Size(NamedTuple):
    """An open size: that of an axis of a tensor."""

    tensor: str
    axis: int


_PASSED = ("Cast", "Identity", "Squeeze", "Unsqueeze")


def write_sizes(model: onnx.ModelProto) -> bool:
    """Gives each Reshape whose sizes follow from shapes constant ones.

    Args:
        model: changed in place; nodes that nobody takes anything from any more are gone.

    Returns:
        Whether there was one.
    """
    graph, found = FloatGraph(model), False
    taken = set(graph.shapes)
    for node in graph.nodes:
        if node.op != "Reshape" or graph.is_constant(node.inputs[1]):
            continue
        sizes = _written(_sizes(graph, node.inputs[1]), node.inputs[0])
        if sizes is None:
            continue
        name = unique_name(f"{node.outputs[0]}_sizes", taken, first=2)
        taken.add(name)
        array = np.array(sizes, np.int64)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
        node.source.input[1] = name
        found = True
    if found:
        _drop_idle(model)
    return found


def _written(sizes: list | None, given: str) -> list[int] | None:
    """Sizes with 0 for what is copied of a tensor, and -1 for the one that is open."""
    if sizes is None:
        return None
    is_open = [isinstance(size, _Size) for size in sizes]
    if sum(is_open) == 1 and -1 not in sizes and 0 not in sizes:
        return [-1 if isinstance(size, _Size) else size for size in sizes]
    written = [
        0 if size == _Size(given, place) else size for place, size in enumerate(sizes)
    ]
    return None if any(isinstance(size, _Size) for size in written) else written


def _sizes(graph: FloatGraph, tensor: str) -> list[int | _Size] | None:
    """The numbers of a tensor of sizes; None if something else than shapes is in it."""
    values = graph.constant(tensor)
    if values is not None:
        is_whole = values.dtype.kind in "iu" and values.ndim < 2
        return [int(value) for value in values.reshape(-1)] if is_whole else None
    node = graph.producer(tensor)
    if node is None or node.domain:
        return None
    if node.op == "Shape":
        return _shape(graph, node)
    if node.op == "Concat":
        parts = [_sizes(graph, t) for t in node.inputs]
        return None if None in parts else [size for part in parts for size in part]
    before = _sizes(graph, node.inputs[0]) if node.inputs else None
    if before is None:
        return None
    if node.op in _PASSED:
        return before
    if node.op == "Gather":
        places = graph.constant(node.inputs[1])
        return None if places is None else [before[int(i)] for i in places.reshape(-1)]
    if node.op == "Slice":
        bounds = [graph.constant(t) for t in node.inputs[1:] if t]
        if any(bound is None or bound.size != 1 for bound in bounds):
            return None
        start, end, *rest = (int(bound.reshape(-1)[0]) for bound in bounds)
        return before[start : end : rest[1] if len(rest) > 1 else 1]
    return None


def _shape(graph: FloatGraph, node: OnnxNode) -> list[int | _Size] | None:
    shape = graph.shape(node.inputs[0])
    if shape is None:
        return None
    sizes = [
        _Size(node.inputs[0], axis) if size is None else size
        for axis, size in enumerate(shape)
    ]
    return sizes[node.attributes.get("start", 0) : node.attributes.get("end", None)]


def _drop_idle(model: onnx.ModelProto) -> None:
    """Takes out nodes whose outputs nobody takes."""
    graph = FloatGraph(model)
    for node in reversed(graph.nodes):
        used = any(graph.consumers(t) or t in graph.outputs for t in node.given)
        if not used:
            graph.remove(node)
            model.graph.node.remove(node.source)
