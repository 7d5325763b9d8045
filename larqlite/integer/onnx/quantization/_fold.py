"""Factors and offsets folded into the layer before them, in a float ONNX model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from larqlite.integer.onnx.quantization._custom_patterns import custom_patterns
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.onnx_graph import OnnxNode, node_of
from larqlite_runtime.names import unique_name

__all__ = ["fold_affine", "join_gates"]

_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_AFFINE = ("Mul", "Div", "Add", "Sub", "BatchNormalization")


def fold_affine(model: onnx.ModelProto) -> bool:
    """What multiplies or shifts each channel after a layer goes into its weights.

    Args:
        model: changed in place.

    Returns:
        Whether there was anything.
    """
    graph = FloatGraph(model)
    own = {name for names, _ in custom_patterns() for name in names}
    before = graph.nodes
    for node in before:
        if node.op not in _LAYERS or node.op in own or "DepthwiseConv" in own:
            continue
        layer = node
        while (after := _only_taker(graph, layer)) is not None:
            found = None if after.op in own else _affine(graph, layer, after)
            if found is None:
                break
            layer = _folded(model, graph, layer, after, *found)
    return graph.nodes != before


def _only_taker(graph: FloatGraph, node: OnnxNode) -> OnnxNode | None:
    takers = graph.consumers(node.outputs[0])
    is_seen = node.outputs[0] in graph.outputs
    return takers[0] if len(takers) == 1 and not is_seen else None


def _affine(
    graph: FloatGraph, layer: OnnxNode, after: OnnxNode
) -> tuple[np.ndarray, np.ndarray] | None:
    """A factor and an offset of each channel; None if an operation is not of the kind."""
    kernel = graph.constant(layer.inputs[1])
    given = layer.outputs[0]
    if kernel is None or after.op not in _AFFINE or after.domain:
        return None
    if any(t and graph.constant(t) is None for t in layer.inputs[2:]):
        return None
    count = _filters(layer, kernel)
    if after.op == "BatchNormalization":
        values = [graph.constant(t) for t in after.inputs[1:5]]
        if any(v is None for v in values) or after.attributes.get("training_mode", 0):
            return None
        gamma, beta, mean, variance = (v.astype(np.float64) for v in values)
        factor = gamma / np.sqrt(variance + after.attributes.get("epsilon", 1e-5))
        return factor, beta - mean * factor
    first = after.inputs[0] == given
    other = graph.constant(after.inputs[1 if first else 0])
    if other is None or (after.op == "Div" and not first) or not np.all(other == other):
        return None
    rank = 2 if layer.op == "Gemm" else kernel.ndim
    shape = (1,) * (rank - other.ndim) + other.shape
    if len(shape) != rank or other.size not in (1, count) or shape[1] != other.size:
        return None
    value = np.broadcast_to(other.reshape(-1), (count,)).astype(np.float64)
    return _AS_AFFINE[after.op](value, first)


_AS_AFFINE: dict[str, Callable] = {
    "Mul": lambda value, first: (value, np.zeros_like(value)),
    "Div": lambda value, first: (1 / value, np.zeros_like(value)),
    "Add": lambda value, first: (np.ones_like(value), value),
    "Sub": lambda value, first: (
        (np.ones_like(value), -value) if first else (-np.ones_like(value), value)
    ),
}


def _filters(layer: OnnxNode, kernel: np.ndarray) -> int:
    if layer.op == "ConvTranspose":
        return kernel.shape[1] * layer.attributes.get("group", 1)
    if layer.op == "Gemm":
        return kernel.shape[0 if layer.attributes.get("transB", 0) else 1]
    return len(kernel)


def _by_filter(layer: OnnxNode, kernel: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The factors, as they broadcast to a kernel."""
    if layer.op == "Gemm":
        return factor[:, None] if layer.attributes.get("transB", 0) else factor
    if layer.op == "ConvTranspose":
        group = layer.attributes.get("group", 1)
        rows = np.repeat(factor.reshape(group, -1), len(kernel) // group, axis=0)
        return rows.reshape(*rows.shape, *[1] * (kernel.ndim - 2))
    return factor.reshape(-1, *[1] * (kernel.ndim - 1))


def _folded(
    model: onnx.ModelProto,
    graph: FloatGraph,
    layer: OnnxNode,
    after: OnnxNode,
    factor: np.ndarray,
    offset: np.ndarray,
) -> OnnxNode:
    """The layer with weights of its own that give out what the operation did."""
    kernel = graph.constant(layer.inputs[1]).astype(np.float64)
    bias = np.zeros(1)
    if len(layer.inputs) > 2 and layer.inputs[2]:
        bias = graph.constant(layer.inputs[2]).astype(np.float64).reshape(-1)
    beta = layer.attributes.get("beta", 1.0) if layer.op == "Gemm" else 1.0
    scaled = kernel * _by_filter(layer, kernel, factor)
    moved = np.broadcast_to(bias * beta * factor + offset, factor.shape)
    changed = layer.source
    names = [
        _stored(model, f"{after.outputs[0]}_{what}", values)
        for what, values in (("kernel", scaled), ("bias", moved))
    ]
    del changed.input[1:]
    changed.input.extend(names)
    changed.output[0] = after.outputs[0]
    for attribute in changed.attribute:
        if attribute.name == "beta":
            attribute.f = 1.0
    graph.remove(after)
    model.graph.node.remove(after.source)
    new = node_of(changed)
    graph.replace(layer, new)
    for name in names:
        graph.add_constant(model.graph.initializer, name)
    return new


def _stored(model: onnx.ModelProto, name: str, values: np.ndarray) -> str:
    taken = {i.name for i in model.graph.initializer}
    taken |= {t for node in model.graph.node for t in node.output}
    name = unique_name(name, taken, first=2)
    array = np.ascontiguousarray(values).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def join_gates(model: onnx.ModelProto) -> bool:
    """`x + x * s` becomes `x * (s + 1)`, where `s` is smaller than `x`.

    Args:
        model: changed in place.

    Returns:
        Whether there was one.
    """
    graph = FloatGraph(model)
    own = {name for names, _ in custom_patterns() for name in names}
    found = False
    for node in graph.nodes:
        if node.op != "Mul" or {"Mul", "Add"} & own:
            continue
        after = _only_taker(graph, node)
        if after is None or after.op != "Add" or after.inputs[0] == after.inputs[1]:
            continue
        whole = next(t for t in after.inputs if t != node.outputs[0])
        gates = [t for t in node.inputs if t != whole]
        shapes = graph.shape(whole), graph.shape(gates[0]) if gates else None
        if whole not in node.inputs or len(gates) != 1 or None in shapes:
            continue
        if graph.is_constant(gates[0]) or 1 not in shapes[1][1:]:
            continue
        raised = unique_name(f"{gates[0]}_raised", set(graph.shapes), first=2)
        one = _stored(model, f"{raised}_one", np.ones(()))
        source = node.source
        at = list(model.graph.node).index(source)
        more = helper.make_node("Add", [gates[0], one], [raised], raised)
        model.graph.node.insert(at, more)
        inputs = [raised if t == gates[0] else t for t in source.input]
        source = model.graph.node[at + 1]
        source.input[:] = inputs
        source.output[0] = after.outputs[0]
        # It may run later than it did, where the sum was.
        model.graph.node.remove(after.source)
        found = True
        graph.remove(after)
    return found
