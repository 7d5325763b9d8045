"""Which sequences of operations are quantized, and where they are in a graph.

Operations on each number alone are in `_regions.FUNCTIONS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx

from larqlite.integer.onnx.layers import OnnxLayer, QuantizedFunction
from larqlite.integer.onnx.quantization import _blocks, _moved_blocks
from larqlite.integer.onnx.quantization._custom_patterns import (
    Mismatch,
    PatternError,
    custom_patterns,
)
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._regions import FUNCTIONS, regions_at
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
    (("MatMul", "Add", "Relu"), _blocks.dense),
    (("MatMul", "Add"), _blocks.dense),
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
    (("ConvTranspose", "Relu"), _blocks.transposed),
    (("ConvTranspose",), _blocks.transposed),
    (("GlobalAveragePool",), _blocks.mean),
    (("Add", "Relu"), _blocks.total),
    (("Add",), _blocks.total),
    (("Sub",), _blocks.total),
    (("Sum",), _blocks.total),
    (("Mul", "Relu"), _blocks.product),
    (("Mul",), _blocks.product),
    (("Concat",), _moved_blocks.concat),
    (("MaxPool",), _moved_blocks.max_of_window),
    (("GlobalMaxPool",), _moved_blocks.max_of_window),
    (("Resize",), _moved_blocks.resize),
    (("Pad",), _moved_blocks.pad),
    (("Slice",), _moved_blocks.sliced),
    (("Transpose",), _moved_blocks.move),
    (("Reshape",), _moved_blocks.move),
    (("Flatten",), _moved_blocks.move),
    (("Squeeze",), _moved_blocks.move),
    (("Unsqueeze",), _moved_blocks.move),
    (("Identity",), _moved_blocks.move),
    (("DepthToSpace",), _moved_blocks.move),
    (("SpaceToDepth",), _moved_blocks.move),
)
# Those of which an integer layer is made alone even though they are functions.
_LAYERS = {"Relu", "Clip", "BatchNormalization"}
# Those that may take one tensor twice.
_TWICE = {"Add", "Sub", "Sum", "Mul", "Concat"}
# At the end of the integers they are left to what follows.
_REARRANGE = {
    "QuantizedTranspose",
    "QuantizedReshape",
    "QuantizedFlatten",
    "QuantizedSqueeze",
    "QuantizedUnsqueeze",
    "QuantizedIdentity",
    "QuantizedSlice",
}


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
        moves: the operations before the quantization of the inputs, which
            only change the order of their axes.
        starts: the tensors that are quantized first.
        blocks: in the order in which they run.
        stops: the operations that stay float although what they take is quantized, and
            why; what comes after them stays float too.
    """

    moves: list[OnnxNode]
    starts: list[str]
    blocks: list[Block]
    stops: list[tuple[OnnxNode, str]]


def partition_of(graph: FloatGraph) -> OnnxPartition:
    """The blocks of a graph: what can be quantized of what follows its inputs."""
    moves, starts = [], []
    for given in graph.inputs:
        if given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            before, start = _moves(graph, given.name)
            moves += before
            starts.append(start)
    known, done, blocks, stops = set(starts), set(moves), [], []
    after_stops: set[str] = set()
    for node in graph.nodes:
        if node in done or node.op == "Constant":
            continue
        found, reason = _blocks_at(graph, node, known)
        found = [block for block in found if not done.issuperset(block.nodes)]
        for block in found:
            done.update(block.nodes)
            known.add(block.output)
            blocks.append(block)
        if found:
            continue
        takes = {t for t in node.taken if not graph.is_constant(t)}
        if takes <= known or takes - known - after_stops:
            stops.append((node, reason))
        after_stops.update(node.given)
    first = blocks[0].nodes[0] if blocks else None
    blocks = _without_last_moves(blocks)
    if first is not None and not blocks:
        stops.insert(0, (first, "nothing is computed there or after it"))
    taken = {tensor for block in blocks for tensor in block.inputs}
    used = [start for start in starts if start in taken]
    if not used:
        moves = []
    return OnnxPartition(moves, used, blocks, stops)


def _without_last_moves(blocks: list[Block]) -> list[Block]:
    """The blocks without those at the ends that compute nothing."""
    while True:
        taken = {tensor for block in blocks for tensor in block.inputs}
        # A Split is several blocks, which go or stay together.
        used = {n for b in blocks if b.output in taken for n in b.nodes}
        kept = [
            block
            for block in blocks
            if used.intersection(block.nodes) or block.layer.base_name not in _REARRANGE
        ]
        if len(kept) == len(blocks):
            return kept
        blocks = kept


def _moves(graph: FloatGraph, tensor: str) -> tuple[list[OnnxNode], str]:
    """Transposes that are all that takes an input."""
    found = []
    while True:
        takers = graph.consumers(tensor)
        if len(takers) != 1 or takers[0].op != "Transpose" or tensor in graph.outputs:
            return found, tensor
        output = takers[0].outputs[0]
        after = graph.consumers(output)
        if any("Flatten" in graph.names_of(node) for node in after):
            return found, tensor
        found.append(takers[0])
        tensor = output


def _blocks_at(
    graph: FloatGraph, start: OnnxNode, known: set[str]
) -> tuple[list[Block], str]:
    reasons: list[str] = []
    for names, function in custom_patterns():
        block = _matched(graph, start, names, known)
        if block is not None:
            nodes = [node.source for node in block.nodes]
            block.layer = _custom_layer(names, function, nodes, graph.model.graph)
            return [block], ""
    regions = _function_blocks(graph, start, known, reasons)
    if len(regions) > 1 or any(len(block.nodes) > 1 for block in regions):
        return regions, ""
    if start.op == "Split":
        regions = _split_blocks(graph, start, known, reasons)
    elif start.op not in _LAYERS and regions and _is_of_one(graph, start):
        return regions, ""
    for names, function in PATTERNS:
        block = _matched(graph, start, names, known)
        if block is None:
            continue
        try:
            block.layer = function(block.nodes, graph)
        except Mismatch as mismatch:
            reasons.append(str(mismatch))
        else:
            return [block], ""
    if regions:
        return regions, ""
    foreign = [
        tensor
        for tensor in start.inputs
        if tensor and tensor not in known and not graph.is_constant(tensor)
    ]
    if foreign:
        reasons.append(f'"{foreign[0]}", which it takes, is not quantized before it')
    return [], reasons[0] if reasons else "no pattern has it there"


def _is_of_one(graph: FloatGraph, node: OnnxNode) -> bool:
    """Whether an operation is a function of one tensor, not of two that are the same."""
    taken = [t for t in node.inputs if t and not graph.is_constant(t)]
    return len(taken) == 1


def _function_blocks(
    graph: FloatGraph, start: OnnxNode, known: set[str], reasons: list[str]
) -> list[Block]:
    """What follows a tensor and is a function of each of its numbers alone."""
    takes = {t for t in start.inputs if t and not graph.is_constant(t)}
    if start.op not in FUNCTIONS or not takes <= known:
        return []
    try:
        found = regions_at(graph, start)
    except Mismatch as mismatch:
        reasons.append(str(mismatch))
        return []
    blocks = []
    for region in found:
        layer = QuantizedFunction(region.function, region.channels, region.axis)
        blocks.append(Block(region.nodes, [region.input], region.output, layer))
    return blocks


def _split_blocks(
    graph: FloatGraph, start: OnnxNode, known: set[str], reasons: list[str]
) -> list[Block]:
    """One slice for each part of a Split that is used."""
    if start.inputs[0] not in known:
        return []
    used = [t for t in start.given if graph.consumers(t) or t in graph.outputs]
    try:
        layers = [_moved_blocks.split_part(start, t, graph) for t in used]
    except Mismatch as mismatch:
        reasons.append(str(mismatch))
        return []
    return [
        Block([start], [start.inputs[0]], tensor, layer)
        for tensor, layer in zip(used, layers, strict=True)
    ]


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
    if names[0] in _TWICE:
        inputs = [t for t in start.inputs if t]
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
