"""Operations on each number alone: joined, they are one function, which becomes a table."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from larqlite.integer.onnx.quantization._custom_patterns import (
    Mismatch,
    custom_patterns,
)
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._prepare import session
from larqlite.onnx_graph import OnnxNode

__all__ = ["FUNCTIONS", "Region", "regions_at"]

# Standard operations that give each number for one number, beside constants.
FUNCTIONS = (
    *("Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh"),
    *("BatchNormalization", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Erf"),
    *("Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max"),
    *("Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round"),
    *("Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign"),
    *("Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu"),
)


_IR_VERSION = 9


class Region(NamedTuple):
    """Operations that together give one number for one number.

    Attributes:
        nodes: in the order in which they run.
        input: the tensor that they take.
        output: the tensor that they give out.
        function: numbers `(1 or channels, points)` to numbers of that shape.
        channels: how many have constants of their own; None if all have the same.
        axis: of the channels.
    """

    nodes: list[OnnxNode]
    input: str
    output: str
    function: Callable[[np.ndarray], np.ndarray]
    channels: int | None
    axis: int


def regions_at(graph: FloatGraph, start: OnnxNode) -> list[Region]:
    """The functions of the tensor that a node takes, one for each that is used elsewhere.

    Raises:
        Mismatch: constants that differ along several axes, or a tensor of unknown rank.
    """
    given = _given(graph, start)
    if start.op not in FUNCTIONS or start.domain or len(given) != 1:
        return []
    (source,) = given
    nodes, made = _grown(graph, source)
    outputs = [
        tensor
        for tensor in made
        if tensor in graph.outputs or set(graph.consumers(tensor)) - set(nodes)
    ]
    return [_region(graph, source, output, nodes) for output in outputs]


def _given(graph: FloatGraph, node: OnnxNode) -> set[str]:
    return {t for t in node.inputs if t and not graph.is_constant(t)}


def _grown(graph: FloatGraph, source: str) -> tuple[list[OnnxNode], list[str]]:
    """All operations that give functions of a tensor, and the tensors that they give."""
    made, nodes = {source: None}, []
    own = {name for names, _ in custom_patterns() for name in names}
    waiting = [(graph.position(node), node) for node in graph.consumers(source)]
    heapq.heapify(waiting)
    seen = {node for _, node in waiting}
    while waiting:
        _, node = heapq.heappop(waiting)
        fits = (
            node.op in FUNCTIONS
            and not graph.names_of(node) & own
            and not node.domain
            and len(node.given) == 1
            and _given(graph, node) <= set(made)
        )
        if not fits:
            continue
        nodes.append(node)
        made[node.outputs[0]] = None
        for after in graph.consumers(node.outputs[0]):
            if after not in seen:
                seen.add(after)
                heapq.heappush(waiting, (graph.position(after), after))
    return nodes, list(made)[1:]


def _region(
    graph: FloatGraph, source: str, output: str, among: list[OnnxNode]
) -> Region:
    needed, nodes = {output}, []
    for node in reversed(among):
        if node.outputs[0] in needed:
            nodes.insert(0, node)
            needed |= set(node.inputs)
    rank = graph.rank(source)
    if not rank:
        raise Mismatch(f'the number of axes of "{source}" is not known')
    constants = {
        t: graph.constant(t)
        for node in nodes
        for t in node.inputs
        if graph.is_constant(t)
    }
    axis, channels = _channels(nodes, constants, rank)
    function = _evaluated(nodes, constants, source, output, rank, axis, graph.opset)
    return Region(nodes, source, output, function, channels, axis)


def _channels(
    nodes: list[OnnxNode], constants: dict[str, np.ndarray], rank: int
) -> tuple[int, int | None]:
    """The axis along which constants differ, and how many there are along it."""
    found = set()
    for node in nodes:
        for tensor in node.inputs:
            shape = constants[tensor].shape if tensor in constants else ()
            if node.op == "BatchNormalization" and tensor in constants:
                found |= {(1, shape[0])}
                continue
            if len(shape) > rank:
                raise Mismatch(f"its constant of shape {shape} adds an axis")
            first = rank - len(shape)
            found |= {(first + i, size) for i, size in enumerate(shape) if size != 1}
    if len(found) > 1 or any(axis == 0 for axis, _ in found):
        shapes = [value.shape for value in constants.values() if value.size > 1]
        raise Mismatch(f"its constants of shapes {shapes} differ along several axes")
    return next(iter(found), (1, None))


def _evaluated(
    nodes: list[OnnxNode],
    constants: dict[str, np.ndarray],
    source: str,
    output: str,
    rank: int,
    axis: int,
    opset: int,
) -> Callable[[np.ndarray], np.ndarray]:
    def function(points: np.ndarray) -> np.ndarray:
        along = 0 if axis == rank - 1 else rank - 1
        shape = [1] * rank
        shape[along] = points.shape[1]
        if rank > 1:
            shape[axis] = points.shape[0]
            points = points if axis < along else points.T
        given = helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)
        taken = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        stored = [numpy_helper.from_array(v, k) for k, v in constants.items()]
        body = helper.make_graph(
            [node.source for node in nodes], "function", [given], [taken], stored
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION)
        x = points.reshape(shape).astype(np.float32)
        (values,) = session(model).run([output], {source: x})
        values = np.broadcast_to(values, shape).astype(np.float64)
        if rank > 1 and axis > along:
            return values.reshape(shape[along], shape[axis]).T
        return values.reshape(shape[axis] if rank > 1 else 1, shape[along])

    return function
