"""Who runs each node: the kernels, ONNX Runtime, or nobody because it is only a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.format import DOMAIN, PACKED_LAYERS
from larqlite_runtime.planner._codebooks import is_quantizer
from larqlite_runtime.planner._epilogues import Epilogue, epilogues_of
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._pixels import PixelLayer
from larqlite_runtime.planner._rearrange import Rearrangement, rearrangement_of
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._views import Structure, structure_of
from larqlite_runtime.planner.producers import (
    FloatConv,
    Numbers,
    Packed,
    Pool,
    any_conv_of,
    float_conv_of,
    packed_or_why,
    pool_of,
)

# ONNX Runtime folds a scale or an offset that follows these into their weights.
_TAKE_SCALES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass
class Partition:
    """Who runs each node, by its number.

    Attributes:
        packed, convs, epilogues, pools, structures: nodes of the native parts.
        rearranged: nodes that move values, where the kernels run everything.
        segment: nodes that ONNX Runtime runs.
        absorbed: quantizers whose only readers take bits.
        axes: the innermost axis of each tensor that a native node makes, or that is fed.
        native: tensors that native nodes make.
        why_float: for packed nodes that ONNX Runtime runs in float, the reason.
        byte_inputs: names of inputs that hold bytes, not floats.
        whole: whether the kernels have to run all they can.
        turns: of nodes that have no step as their inputs lie, whether they have one if all
            inputs have their channels at the last axis, or (False) at axis 1.
    """

    packed: dict[int, Packed] = field(default_factory=dict)
    convs: dict[int, FloatConv] = field(default_factory=dict)
    epilogues: dict[int, list[Epilogue]] = field(default_factory=dict)
    pools: dict[int, Pool] = field(default_factory=dict)
    structures: dict[int, Structure] = field(default_factory=dict)
    rearranged: dict[int, Rearrangement] = field(default_factory=dict)
    segment: set[int] = field(default_factory=set)
    absorbed: set[int] = field(default_factory=set)
    axes: dict[str, int] = field(default_factory=dict)
    native: set[str] = field(default_factory=set)
    why_float: dict[int, str] = field(default_factory=dict)
    byte_inputs: set[str] = field(default_factory=set)
    whole: bool = False
    turns: dict[int, bool] = field(default_factory=dict)

    def why_float_by_name(self, subgraph: Subgraph) -> dict[str, str]:
        """`why_float` by the names of the nodes."""
        return {
            subgraph.nodes[number].name: why for number, why in self.why_float.items()
        }


def partition_nodes(
    subgraph: Subgraph,
    float_kernels: bool = True,
    numbers: Numbers = Numbers.FLOAT32,
    pixels: Sequence[PixelLayer] = (),
    isa: str = "portable",
    whole: bool = False,
) -> Partition:
    """Decides for every node of the graph.

    Args:
        subgraph: the graph.
        float_kernels: whether the kernels are fast with floats too.
        numbers: that float convolutions of the kernels multiply.
        pixels: layers that read integer pixels, if `numbers` are `PIXELS` or `BYTES`.
        isa: the instruction set, which says how packed nodes are summed, not whether.
        whole: whether the kernels have to run all they can, wherever it is faster.
    """
    packed, why = _packed_nodes(subgraph, isa)
    by_name = {layer.name: layer for layer in pixels}
    convs = _float_convs(subgraph, float_kernels, numbers, by_name, whole)
    partition = _forward(subgraph, packed, convs, {}, whole)
    if not whole:
        while early := _too_early(subgraph, partition):
            convs = {
                number: conv for number, conv in convs.items() if number not in early
            }
            partition = _forward(subgraph, packed, convs, {})
        scales = _early_scales(subgraph, partition)
        partition = _forward(subgraph, packed, convs, scales) if scales else partition
    if numbers is Numbers.BF16:
        for number, conv in partition.convs.items():
            if conv.groups == 1:
                partition.convs[number] = replace(conv, numbers=numbers)
    partition.why_float = {
        number: why.get(
            number, "its input lies in memory as the kernels cannot read it"
        )
        for number in sorted({*packed, *why} - partition.packed.keys())
    }
    return partition


def _float_convs(
    subgraph: Subgraph,
    float_kernels: bool,
    numbers: Numbers,
    pixels: dict[str, PixelLayer],
    whole: bool,
) -> dict[int, FloatConv]:
    """The float convolutions that kernels can run; of pixels on every CPU."""
    convs = {}
    for number, node in enumerate(subgraph.nodes):
        layer = pixels.get(node.name)
        found = None
        if whole:
            found = any_conv_of(node, subgraph)
        elif float_kernels or layer is not None:
            found = float_conv_of(node, subgraph)
        if found is not None and layer is not None:
            found = replace(
                found,
                numbers=numbers,
                pixels=layer.scale,
                scaling=layer.scaling,
            )
            found = found if found.groups == 1 else None
        if found is not None:
            convs[number] = found
    return convs


def _packed_nodes(
    subgraph: Subgraph, isa: str
) -> tuple[dict[int, Packed], dict[int, str]]:
    """The packed nodes that kernels can run, and why they cannot run the others."""
    packed, why = {}, {}
    for number, node in enumerate(subgraph.nodes):
        if node.domain != DOMAIN or node.op not in PACKED_LAYERS:
            continue
        found = packed_or_why(node, subgraph, isa)
        if isinstance(found, str):
            why[number] = found
        else:
            packed[number] = found
    return packed, why


def _forward(
    subgraph: Subgraph,
    packed: dict[int, Packed],
    convs: dict[int, FloatConv],
    early: dict[int, int],
    whole: bool = False,
) -> Partition:
    """One pass over the nodes.

    Args:
        subgraph: the graph.
        packed, convs: nodes that kernels can run.
        early: nodes that are native although nothing native comes before them, and the
            axis of their channels.
        whole: as of `partition_nodes`; what is fed then counts as native.
    """
    partition = Partition(absorbed=_absorbed(subgraph, packed), whole=whole)
    for name in subgraph.inputs:
        if subgraph.dtypes[name] == np.float32 and image_of(
            subgraph.shapes[name], len(subgraph.shapes[name]) - 1
        ):
            partition.axes[name] = len(subgraph.shapes[name]) - 1
            if whole:
                partition.native.add(name)
    for number, node in enumerate(subgraph.nodes):
        if number in partition.absorbed:
            continue
        if _place(subgraph, partition, number, packed, convs, early):
            continue
        partition.segment.add(number)
        if whole:
            _find_turn(subgraph, partition, number, packed, convs)
            for name in filter(None, node.outputs):
                # So that what follows is looked at as if this had a step.
                shape, dtype = subgraph.shapes[name], subgraph.dtypes[name]
                if dtype == np.float32 and shape and shape[0] is None:
                    partition.axes[name] = max(1, len(shape) - 1)
                    partition.native.add(name)
    # A quantizer stays absorbed only if all its readers really are native.
    wrong = {
        number
        for number in partition.absorbed
        for reader in subgraph.consumers.get(subgraph.nodes[number].outputs[0], ())
        if reader not in partition.packed
    }
    if wrong and not partition.turns:
        kept = {
            number: found
            for number, found in packed.items()
            if number in partition.packed
        }
        return _forward(subgraph, kept, convs, early, whole)
    return partition


def _place(
    subgraph: Subgraph,
    partition: Partition,
    number: int,
    packed: dict[int, Packed],
    convs: dict[int, FloatConv],
    early: dict[int, int],
) -> bool:
    """Makes a node native, if it can be; the arguments are those of `_forward`."""
    node = subgraph.nodes[number]
    if number in packed and _lies_right(subgraph, partition, packed[number]):
        partition.packed[number] = packed[number]
        _made(partition, node, packed[number].axis, True)
        return True
    if number in convs and _may_convolve(subgraph, partition, convs[number]):
        partition.convs[number] = convs[number]
        _made(partition, node, convs[number].axis, True)
        return True
    axes = (
        [early[number]] if number in early else _axes_before(subgraph, partition, node)
    )
    if any(
        _native(subgraph, partition, number, axis, number in early) for axis in axes
    ):
        return True
    return partition.whole and _rearrange(subgraph, partition, number)


def _rearrange(subgraph: Subgraph, partition: Partition, number: int) -> bool:
    """Has the kernels move the values of a node that only does that."""
    node = subgraph.nodes[number]
    source = node.inputs[0] if node.inputs else ""
    if source not in partition.native or subgraph.dtypes[source] != np.float32:
        return False
    found = rearrangement_of(node, subgraph, partition.axes[source])
    if found is None:
        return False
    partition.rearranged[number] = found
    _made(partition, node, found.axis, True)
    return True


def _find_turn(
    subgraph: Subgraph,
    partition: Partition,
    number: int,
    packed: dict[int, Packed],
    convs: dict[int, FloatConv],
) -> None:
    """Notes in which layout of its inputs a node would have a step, if in one."""
    inputs, turned_node = subgraph.data_inputs(subgraph.nodes[number]), number
    if number in packed and packed[number].source not in inputs:
        # The quantizer before it is what reads a tensor.
        turned_node = subgraph.producer[inputs[0]]
        inputs = [packed[number].source]
    if not inputs or any(name not in partition.native for name in inputs):
        return
    for is_last in (False, True):
        turned = {
            name: len(subgraph.shapes[name]) - 1 if is_last else 1 for name in inputs
        }
        trial = Partition(
            axes=partition.axes | turned, native=set(partition.native), whole=True
        )
        if _place(subgraph, trial, number, packed, convs, {}):
            partition.turns[turned_node] = is_last
            return


def _may_convolve(subgraph: Subgraph, partition: Partition, conv: FloatConv) -> bool:
    """Whether the input of a float convolution lies right already.

    Dense layers before anything native are as fast, or faster, in ONNX Runtime.
    """
    is_plain = conv.is_dense and conv.numbers is Numbers.FLOAT32
    if is_plain and conv.source not in partition.native:
        return False
    return (
        partition.axes.get(conv.source) == conv.axis
        and subgraph.dtypes[conv.source] == np.float32
    )


def _too_early(subgraph: Subgraph, partition: Partition) -> set[int]:
    """Float convolutions before anything native whose output has to go back to ONNX Runtime.

    The mean over an image is small: it may.
    """
    found = set()
    for number, conv in partition.convs.items():
        if conv.source in partition.native or conv.pixels is not None:
            continue
        waiting, seen = [number], set()
        while waiting:
            for output in subgraph.nodes[waiting.pop()].outputs:
                for reader in subgraph.consumers.get(output, ()):
                    if reader in partition.segment:
                        found.add(number)
                    stays = (
                        reader in partition.epilogues or reader in partition.structures
                    )
                    is_pool = reader in partition.pools
                    if is_pool and partition.pools[reader].kind == StepKind.MEAN:
                        continue
                    if (stays or is_pool) and reader not in seen:
                        seen.add(reader)
                        waiting.append(reader)
    return found


def _absorbed(subgraph: Subgraph, packed: dict[int, Packed]) -> set[int]:
    """Quantizers whose every reader is a packed node of the kernels."""
    found = set()
    for number, node in enumerate(subgraph.nodes):
        if not is_quantizer(node) or node.outputs[0] in subgraph.outputs:
            continue
        readers = subgraph.consumers.get(node.outputs[0], ())
        if readers and all(
            reader in packed and packed[reader].source == node.inputs[0]
            for reader in readers
        ):
            found.add(number)
    return found


def _lies_right(subgraph: Subgraph, partition: Partition, packed: Packed) -> bool:
    """Whether the input of a packed node has its channels innermost, or can be given so."""
    source = packed.source
    if subgraph.dtypes[source] != np.float32 or source in subgraph.constants:
        return False
    return _same_order(partition, source, packed.axis)


def _same_order(partition: Partition, tensor: str, axis: int) -> bool:
    """Whether a tensor has, or can be given, its channels at an axis."""
    return tensor not in partition.native or partition.axes[tensor] == axis


def _axes_before(
    subgraph: Subgraph, partition: Partition, node: GraphNode
) -> list[int]:
    """The channel axes of a node's inputs; first of those that native nodes make."""
    found = [name for name in subgraph.data_inputs(node) if name in partition.axes]
    found.sort(key=lambda name: name not in partition.native)
    return list(dict.fromkeys(partition.axes[name] for name in found))


def _native(
    subgraph: Subgraph, partition: Partition, number: int, axis: int, early: bool
) -> bool:
    """Makes a node native if it can be and if something native comes before it."""
    node = subgraph.nodes[number]
    inputs = subgraph.data_inputs(node)
    after_native = early or any(name in partition.native for name in inputs)
    if not inputs or any(subgraph.dtypes[name] != np.float32 for name in inputs):
        return False
    structure = None
    if all(name in partition.axes or after_native for name in inputs):
        structure = structure_of(node, subgraph, axis)
    if structure is not None and structure.kind == "concat" and not after_native:
        structure = None
    if structure is not None and _structure_lies_right(subgraph, partition, node, axis):
        partition.structures[number] = structure
        _made(partition, node, structure.axis, after_native)
        return True
    if not after_native:
        return False
    source = inputs[0]
    pool = pool_of(node, subgraph, axis)
    if pool and source in partition.native and image_of(subgraph.shapes[source], axis):
        partition.pools[number] = pool
        _made(
            partition, node, min(axis, len(subgraph.shapes[node.outputs[0]]) - 1), True
        )
        return True
    epilogues = _usable_epilogues(subgraph, partition, node, axis, early)
    if epilogues:
        partition.epilogues[number] = epilogues
        _made(partition, node, axis, True)
    return bool(epilogues)


def _structure_lies_right(
    subgraph: Subgraph, partition: Partition, node: GraphNode, axis: int
) -> bool:
    ends = [*subgraph.data_inputs(node), *node.outputs]
    return all(
        _same_order(partition, name, axis) for name in subgraph.data_inputs(node)
    ) and all(
        subgraph.shapes[name] and subgraph.shapes[name][0] is None
        for name in ends
        if name
    )


def _usable_epilogues(
    subgraph: Subgraph, partition: Partition, node: GraphNode, axis: int, early: bool
) -> list[Epilogue]:
    """The ways to run a node as an epilogue whose tensors lie right."""
    if axis >= len(subgraph.shapes[node.outputs[0]]) or not image_of(
        subgraph.shapes[node.outputs[0]], axis
    ):
        return []
    return [
        way
        for way in epilogues_of(node, subgraph, axis, partition.whole)
        if (
            early
            or way.flowing in partition.native
            or (way.kind == EpilogueKind.ADD_TENSOR and way.other is not None)
        )
        and (way.flowing not in partition.native or partition.axes[way.flowing] == axis)
        and (way.other is None or _same_order(partition, way.other, axis))
    ]


def _made(partition: Partition, node: GraphNode, axis: int, native: bool) -> None:
    for name in filter(None, node.outputs):
        partition.axes[name] = axis
        if native:
            partition.native.add(name)


def _early_scales(subgraph: Subgraph, partition: Partition) -> dict[int, int]:
    """Scales and offsets before a quantizer that kernels had better do.

    These are per-channel `Mul` and `Add` between a tensor that ONNX Runtime makes and a
    quantizer, where ONNX Runtime cannot fold them into a layer before.
    """
    found: dict[int, int] = {}
    for packed in partition.packed.values():
        tensor, scales = packed.source, []
        while tensor not in partition.native:
            number = subgraph.producer.get(tensor)
            if number is None or not _only_before(subgraph, partition, tensor, scales):
                break
            ways = epilogues_of(subgraph.nodes[number], subgraph, packed.axis)
            if not ways or ways[0].kind not in (
                EpilogueKind.MULTIPLY,
                EpilogueKind.ADD,
            ):
                break
            scales.append(number)
            tensor = ways[0].flowing
        if not scales or not image_of(subgraph.shapes[tensor], packed.axis):
            continue
        maker = subgraph.made_by(tensor)
        folds = maker is not None and maker.op in _TAKE_SCALES and not maker.domain
        if (
            not folds
            or len(subgraph.consumers[tensor]) > 1
            or tensor in subgraph.outputs
        ):
            found.update(dict.fromkeys(scales, packed.axis))
    return found


def _only_before(
    subgraph: Subgraph, partition: Partition, tensor: str, scales: list[int]
) -> bool:
    """Whether a tensor is read by bit-taking quantizers or the scales found so far only."""
    if tensor in subgraph.outputs:
        return False
    return all(
        reader in partition.absorbed or reader in partition.packed or reader in scales
        for reader in subgraph.consumers[tensor]
    )
