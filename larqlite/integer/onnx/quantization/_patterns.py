"""Which sequences of operations are quantized, and where they are in a graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx

from larqlite.integer.onnx.layers import OnnxLayer
from larqlite.integer.onnx.quantization import _blocks
from larqlite.integer.onnx.quantization._custom_patterns import (
    Mismatch,
    PatternError,
    custom_patterns,
)
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.onnx_graph import OnnxNode

__all__ = ["PATTERNS", "Block", "OnnxPartition", "partition_of"]

# The first that fits is taken.
PATTERNS: tuple[tuple[tuple[str, ...], Callable], ...] = (
    (("Conv", "Relu", "GlobalAveragePool"), _blocks.convolution),
    (("Conv", "Relu", "MaxPool"), _blocks.convolution),
    (("Conv", "GlobalAveragePool"), _blocks.convolution),
    (("Conv", "Relu"), _blocks.convolution),
    (("Conv", "MaxPool"), _blocks.convolution),
    (("Conv",), _blocks.convolution),
    (("DepthwiseConv", "Relu"), _blocks.depthwise),
    (("DepthwiseConv",), _blocks.depthwise),
    (("Transpose", "Flatten", "Gemm", "Relu"), _blocks.dense),
    (("Transpose", "Flatten", "Gemm"), _blocks.dense),
    (("Flatten", "Gemm", "Relu"), _blocks.dense),
    (("Flatten", "Gemm"), _blocks.dense),
    (("Gemm", "Relu"), _blocks.dense),
    (("Gemm",), _blocks.dense),
    (("Add", "Relu"), _blocks.add_and_activation),
    (("Add",), _blocks.add),
    (("BatchNormalization", "Relu"), _blocks.normalization),
    (("BatchNormalization",), _blocks.normalization),
    (("Relu", "GlobalAveragePool"), _blocks.unchanged),
    (("Relu", "MaxPool"), _blocks.unchanged),
    (("GlobalAveragePool",), _blocks.unchanged),
    (("MaxPool",), _blocks.unchanged),
    (("Relu",), _blocks.unchanged),
    (("AveragePool",), _blocks.average_pool),
)


@dataclasses.dataclass
class Block:
    """Operations that become one integer layer.

    Attributes:
        nodes: those of the graph.
        inputs: the tensors that they take, without constants.
        output: the tensor that they give out.
        layer: what they become.
    """

    nodes: list[OnnxNode]
    inputs: list[str]
    output: str
    layer: OnnxLayer


@dataclasses.dataclass
class OnnxPartition:
    """What is quantized of a graph.

    Attributes:
        moves: the operations before the quantization of the input, which
            only change the order of its axes.
        start: the tensor that is quantized first.
        blocks: in the order in which they run.
        stop: the first operation that stays float, or None.
        reason: why it does.
    """

    moves: list[OnnxNode]
    start: str
    blocks: list[Block]
    stop: OnnxNode | None
    reason: str


def partition_of(graph: FloatGraph) -> OnnxPartition:
    """The blocks of a graph, up to the first operation that fits no pattern."""
    moves, start = _moves(graph)
    known, done, blocks = {start}, set(moves), []
    for node in graph.nodes:
        if node in done or node.op == "Constant":
            continue
        block, reason = _block_at(graph, node, known)
        if block is None:
            return OnnxPartition(moves, start, blocks, node, reason)
        done.update(block.nodes)
        known.add(block.output)
        blocks.append(block)
    return OnnxPartition(moves, start, blocks, None, "")


def _moves(graph: FloatGraph) -> tuple[list[OnnxNode], str]:
    """Transposes that are all that takes the input."""
    found, tensor = [], graph.input.name
    while True:
        takers = graph.consumers(tensor)
        if len(takers) != 1 or takers[0].op != "Transpose":
            return found, tensor
        output = takers[0].outputs[0]
        after = graph.consumers(output)
        if any("Flatten" in graph.names_of(node) for node in after):
            return found, tensor
        found.append(takers[0])
        tensor = output


def _block_at(
    graph: FloatGraph, start: OnnxNode, known: set[str]
) -> tuple[Block | None, str]:
    reasons = []
    for names, function in custom_patterns():
        block = _matched(graph, start, names, known)
        if block is not None:
            nodes = [node.source for node in block.nodes]
            block.layer = _custom_layer(names, function, nodes, graph.model.graph)
            return block, ""
    for names, function in PATTERNS:
        block = _matched(graph, start, names, known)
        if block is None:
            continue
        try:
            block.layer = function(block.nodes, graph)
        except Mismatch as mismatch:
            reasons.append(str(mismatch))
        else:
            return block, ""
    foreign = [
        tensor
        for tensor in start.inputs
        if tensor and tensor not in known and not graph.is_constant(tensor)
    ]
    if foreign:
        reasons.append(f'"{foreign[0]}", which it takes, is not quantized before it')
    return None, reasons[0] if reasons else "no pattern has it there"


def _matched(
    graph: FloatGraph, start: OnnxNode, names: Sequence[str], known: set[str]
) -> Block | None:
    """The block of operations of these names from a node on, if there is one."""
    if names[0] not in graph.names_of(start):
        return None
    found = [start]
    for name in names[1:]:
        given = [tensor for node in found for tensor in node.given]
        takers = {node for tensor in given for node in graph.consumers(tensor)}
        takers -= set(found)
        fitting = [node for node in takers if name in graph.names_of(node)]
        if not fitting:
            return None
        found.append(min(fitting, key=graph.position))
    inner = {tensor for node in found[:-1] for tensor in node.given}
    used_outside = any(set(graph.consumers(tensor)) - set(found) for tensor in inner)
    if used_outside or inner & graph.outputs:
        return None
    taken = dict.fromkeys(t for node in found for t in node.inputs if t)
    inputs = [t for t in taken if t not in inner and not graph.is_constant(t)]
    if names[0] == "Add":
        inputs = list(start.inputs)
    if not inputs or not {t for t in inputs if not graph.is_constant(t)} <= known:
        return None
    return Block(found, inputs, found[-1].outputs[0], OnnxLayer("Block"))


def _custom_layer(
    names: Sequence[str],
    function: Callable,
    nodes: list[onnx.NodeProto],
    graph: onnx.GraphProto,
) -> OnnxLayer:
    layer = function(nodes, graph)
    if not isinstance(layer, OnnxLayer):
        raise PatternError(
            f"custom_pattern_scope: the function of the pattern {tuple(names)} returned "
            f"{type(layer).__name__} for the nodes {[node.name for node in nodes]}.\n"
            "  Fix: return an object of a subclass of OnnxLayer."
        )
    return layer
