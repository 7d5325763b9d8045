"""Who runs each node: the kernels, ONNX Runtime, or nobody because it is only a view."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from larqlite_runtime._graph import PACKED, Node
from larqlite_runtime._program import Kind, Row
from larqlite_runtime.planner._codebooks import is_quantizer
from larqlite_runtime.planner._epilogues import RowNode, row_nodes
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._subgraph import Net
from larqlite_runtime.planner._views import Structure, structure_of
from larqlite_runtime.planner._weight_layout import has_layout
from larqlite_runtime.planner.producers._float_conv import FloatConv, float_conv_of
from larqlite_runtime.planner.producers._packed import Packed, packed_or_why
from larqlite_runtime.planner.producers._pooling import Pool, pool_of

# ONNX Runtime folds a scale or an offset that follows these into their weights.
_TAKE_SCALES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass
class Roles:
    """The role of every node, by its number.

    Attributes:
        packed, convs, rows, pools, structures: nodes of the native parts.
        segment: nodes that ONNX Runtime runs.
        absorbed: quantizers whose only readers take bits.
        axes: the innermost axis of each tensor that a native node makes, or that is fed.
        native: tensors that native nodes make.
        why_float: for packed nodes that ONNX Runtime runs in float, the reason.
    """

    packed: dict[int, Packed] = field(default_factory=dict)
    convs: dict[int, FloatConv] = field(default_factory=dict)
    rows: dict[int, list[RowNode]] = field(default_factory=dict)
    pools: dict[int, Pool] = field(default_factory=dict)
    structures: dict[int, Structure] = field(default_factory=dict)
    segment: set[int] = field(default_factory=set)
    absorbed: set[int] = field(default_factory=set)
    axes: dict[str, int] = field(default_factory=dict)
    native: set[str] = field(default_factory=set)
    why_float: dict[int, str] = field(default_factory=dict)

    def is_native(self, number: int) -> bool:
        """Whether a node needs no ONNX Runtime."""
        return number not in self.segment


def find_roles(net: Net) -> Roles:
    """Decides for every node of the graph."""
    packed, why = _packed_nodes(net)
    convs = {
        number: found
        for number, node in enumerate(net.nodes)
        if net.float_kernels and (found := float_conv_of(node, net)) is not None
    }
    roles = _forward(net, packed, convs, {})
    while early := _too_early(net, roles):
        convs = {number: conv for number, conv in convs.items() if number not in early}
        roles = _forward(net, packed, convs, {})
    scales = _early_scales(net, roles)
    roles = _forward(net, packed, convs, scales) if scales else roles
    roles.why_float = {
        number: why.get(
            number, "its input lies in memory as the kernels cannot read it"
        )
        for number in sorted({*packed, *why} - roles.packed.keys())
    }
    return roles


def _packed_nodes(net: Net) -> tuple[dict[int, Packed], dict[int, str]]:
    """The packed nodes that kernels can run, and why they cannot run the others."""
    packed, why = {}, {}
    for number, node in enumerate(net.nodes):
        if node.domain != PACKED or "weight_shape" not in node.attributes:
            continue
        if node.op == "Unpack":
            continue
        found = packed_or_why(node, net)
        if isinstance(found, str):
            why[number] = found
        elif has_layout(found):
            packed[number] = found
        else:
            why[number] = (
                "planes of equal weight need an axis of its window that is free, and all "
                f"of {'x'.join(map(str, found.window.kernel))} are taken"
            )
    return packed, why


def _forward(
    net: Net,
    packed: dict[int, Packed],
    convs: dict[int, FloatConv],
    early: dict[int, int],
) -> Roles:
    """One pass over the nodes.

    Args:
        net: the graph.
        packed, convs: nodes that kernels can run.
        early: nodes that are native although nothing native comes before them, and the
            axis of their channels.
    """
    roles = Roles(absorbed=_absorbed(net, packed))
    for name in net.inputs:
        if net.dtypes[name] == np.float32 and image_of(
            net.shapes[name], len(net.shapes[name]) - 1
        ):
            roles.axes[name] = len(net.shapes[name]) - 1
    for number, node in enumerate(net.nodes):
        if number in roles.absorbed:
            continue
        if number in packed and _lies_right(net, roles, packed[number]):
            roles.packed[number] = packed[number]
            _made(roles, node, packed[number].axis, True)
            continue
        if number in convs and _may_convolve(net, roles, convs[number]):
            roles.convs[number] = convs[number]
            _made(roles, node, 1, True)
            continue
        axes = [early[number]] if number in early else _axes_before(net, roles, node)
        if not any(_native(net, roles, number, axis, number in early) for axis in axes):
            roles.segment.add(number)
    # A quantizer stays absorbed only if all its readers really are native.
    wrong = {
        number
        for number in roles.absorbed
        for reader in net.consumers.get(net.nodes[number].outputs[0], ())
        if reader not in roles.packed
    }
    if wrong:
        kept = {
            number: found for number, found in packed.items() if number in roles.packed
        }
        return _forward(net, kept, convs, early)
    return roles


def _may_convolve(net: Net, roles: Roles, conv: FloatConv) -> bool:
    """Whether the input of a float convolution lies right already."""
    return roles.axes.get(conv.source) == 1 and net.dtypes[conv.source] == np.float32


def _too_early(net: Net, roles: Roles) -> set[int]:
    """Float convolutions before anything native whose output has to go back to ONNX Runtime.

    The mean over an image is small: it may.
    """
    found = set()
    for number, conv in roles.convs.items():
        if conv.source in roles.native:
            continue
        waiting, seen = [number], set()
        while waiting:
            for output in net.nodes[waiting.pop()].outputs:
                for reader in net.consumers.get(output, ()):
                    if reader in roles.segment:
                        found.add(number)
                    stays = reader in roles.rows or reader in roles.structures
                    is_pool = reader in roles.pools
                    if is_pool and roles.pools[reader].kind == Kind.MEAN:
                        continue
                    if (stays or is_pool) and reader not in seen:
                        seen.add(reader)
                        waiting.append(reader)
    return found


def _absorbed(net: Net, packed: dict[int, Packed]) -> set[int]:
    """Quantizers whose every reader is a packed node of the kernels."""
    found = set()
    for number, node in enumerate(net.nodes):
        if not is_quantizer(node) or node.outputs[0] in net.outputs:
            continue
        readers = net.consumers.get(node.outputs[0], ())
        if readers and all(
            reader in packed and packed[reader].source == node.inputs[0]
            for reader in readers
        ):
            found.add(number)
    return found


def _lies_right(net: Net, roles: Roles, packed: Packed) -> bool:
    """Whether the input of a packed node has its channels innermost, or can be given so."""
    source = packed.source
    if net.dtypes[source] != np.float32 or source in net.constants:
        return False
    return _same_order(roles, source, packed.axis)


def _same_order(roles: Roles, tensor: str, axis: int) -> bool:
    """Whether a tensor has, or can be given, its channels at an axis."""
    return tensor not in roles.native or roles.axes[tensor] == axis


def _axes_before(net: Net, roles: Roles, node: Node) -> list[int]:
    """The channel axes of a node's inputs; first of those that native nodes make."""
    found = [name for name in net.data_inputs(node) if name in roles.axes]
    found.sort(key=lambda name: name not in roles.native)
    return list(dict.fromkeys(roles.axes[name] for name in found))


def _native(net: Net, roles: Roles, number: int, axis: int, early: bool) -> bool:
    """Makes a node native if it can be and if something native comes before it."""
    node = net.nodes[number]
    inputs = net.data_inputs(node)
    after_native = early or any(name in roles.native for name in inputs)
    if not inputs or any(net.dtypes[name] != np.float32 for name in inputs):
        return False
    structure = None
    if all(name in roles.axes or after_native for name in inputs):
        structure = structure_of(node, net, axis)
    if structure is not None and structure.kind == "concat" and not after_native:
        structure = None
    if structure is not None and _structure_lies_right(net, roles, node, axis):
        roles.structures[number] = structure
        _made(roles, node, structure.axis, after_native)
        return True
    if not after_native:
        return False
    source = inputs[0]
    pool = pool_of(node, net, axis)
    if pool and source in roles.native and image_of(net.shapes[source], axis):
        roles.pools[number] = pool
        _made(roles, node, min(axis, len(net.shapes[node.outputs[0]]) - 1), True)
        return True
    rows = _usable_rows(net, roles, node, axis, early)
    if rows:
        roles.rows[number] = rows
        _made(roles, node, axis, True)
    return bool(rows)


def _structure_lies_right(net: Net, roles: Roles, node: Node, axis: int) -> bool:
    ends = [*net.data_inputs(node), *node.outputs]
    return all(
        _same_order(roles, name, axis) for name in net.data_inputs(node)
    ) and all(net.shapes[name] and net.shapes[name][0] is None for name in ends if name)


def _usable_rows(
    net: Net, roles: Roles, node: Node, axis: int, early: bool
) -> list[RowNode]:
    """The ways to run a node on rows whose tensors lie right."""
    if axis >= len(net.shapes[node.outputs[0]]) or not image_of(
        net.shapes[node.outputs[0]], axis
    ):
        return []
    return [
        row
        for row in row_nodes(node, net, axis)
        if (early or row.flowing in roles.native or row.kind == Row.ADD_TENSOR)
        and (row.flowing not in roles.native or roles.axes[row.flowing] == axis)
        and (row.other is None or _same_order(roles, row.other, axis))
    ]


def _made(roles: Roles, node: Node, axis: int, native: bool) -> None:
    for name in filter(None, node.outputs):
        roles.axes[name] = axis
        if native:
            roles.native.add(name)


def _early_scales(net: Net, roles: Roles) -> dict[int, int]:
    """Scales and offsets before a quantizer that kernels had better do.

    These are per-channel `Mul` and `Add` between a tensor that ONNX Runtime makes and a
    quantizer, where ONNX Runtime cannot fold them into a layer before.
    """
    found: dict[int, int] = {}
    for packed in roles.packed.values():
        tensor, chain = packed.source, []
        while tensor not in roles.native:
            number = net.producer.get(tensor)
            if number is None or not _only_before(net, roles, tensor, chain):
                break
            rows = row_nodes(net.nodes[number], net, packed.axis)
            if not rows or rows[0].kind not in (Row.MULTIPLY, Row.ADD):
                break
            chain.append(number)
            tensor = rows[0].flowing
        if not chain or not image_of(net.shapes[tensor], packed.axis):
            continue
        maker = net.made_by(tensor)
        folds = maker is not None and maker.op in _TAKE_SCALES and not maker.domain
        if not folds or len(net.consumers[tensor]) > 1 or tensor in net.outputs:
            found.update(dict.fromkeys(chain, packed.axis))
    return found


def _only_before(net: Net, roles: Roles, tensor: str, chain: list[int]) -> bool:
    """Whether a tensor is read by bit-taking quantizers or the chain found so far only."""
    if tensor in net.outputs:
        return False
    return all(
        reader in roles.absorbed or reader in roles.packed or reader in chain
        for reader in net.consumers[tensor]
    )
