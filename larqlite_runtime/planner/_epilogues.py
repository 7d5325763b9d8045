"""Standard nodes as operations on rows of values: what a tensor's channels pass through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import PACKED, Node
from larqlite_runtime._program import Row
from larqlite_runtime.planner._layouts import is_gate, per_channel
from larqlite_runtime.planner._subgraph import Net


@dataclass(frozen=True)
class RowNode:
    """One node as one row operation.

    Attributes:
        flowing: the tensor that passes through.
        kind: the operation; None changes nothing.
        values: one per channel.
        other: a second tensor: the same shape, or one value per image and channel.
        low, high: of a clip.
    """

    flowing: str
    kind: Row | None = None
    values: np.ndarray | None = None
    other: str | None = None
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_monotone(self) -> bool:
        """Whether, channel by channel, values keep or reverse their order."""
        if self.kind in (Row.MULTIPLY, Row.ADD):
            return bool(np.isfinite(self.values).all())
        if self.kind == Row.PRELU:
            return bool((self.values >= 0).all() and np.isfinite(self.values).all())
        return self.kind in (None, Row.RELU, Row.CLIP)


def row_nodes(node: Node, net: Net, axis: int) -> list[RowNode]:
    """The ways in which a node is a row operation; none if it is not.

    Args:
        node: any node.
        net: the graph it is part of.
        axis: of the channels.
    """
    find = _ROWS.get((node.domain, node.op))
    if find is None or len(node.outputs) != 1:
        return []
    if net.dtypes[node.outputs[0]] != np.float32:
        return []
    shape = net.shapes[node.outputs[0]]
    return [
        row for row in find(node, net, axis) if net.shapes.get(row.flowing) == shape
    ]


def _with_constant(node: Node, net: Net, axis: int, kind: Row) -> list[RowNode]:
    """A node of a tensor and a constant, in either order."""
    shape = net.shapes[node.outputs[0]]
    found = []
    for flowing, other in (node.inputs, node.inputs[::-1]):
        if other in net.constants and flowing not in net.constants:
            values = per_channel(net.constants[other], shape, axis)
            if values is not None:
                found.append(RowNode(flowing, kind, values))
    return found


def _multiply(node: Node, net: Net, axis: int) -> list[RowNode]:
    found = _with_constant(node, net, axis, Row.MULTIPLY)
    shape = net.shapes[node.outputs[0]]
    if set(node.inputs) & net.constants.keys():
        return found
    for flowing, gate in (node.inputs, node.inputs[::-1]):
        if is_gate(net.shapes[gate], shape, axis) and flowing != gate:
            found.append(RowNode(flowing, Row.MULTIPLY_IMAGE, other=gate))
    return found


def _add(node: Node, net: Net, axis: int) -> list[RowNode]:
    first, second = node.inputs
    if set(node.inputs) & net.constants.keys():
        return _with_constant(node, net, axis, Row.ADD)
    if net.shapes[first] != net.shapes[second]:
        return []
    found = [RowNode(first, Row.ADD_TENSOR, other=second)]
    if first != second:
        found.append(RowNode(second, Row.ADD_TENSOR, other=first))
    return found


def _subtract(node: Node, net: Net, axis: int) -> list[RowNode]:
    if node.inputs[1] not in net.constants:
        return []
    found = _with_constant(node, net, axis, Row.ADD)
    return [RowNode(row.flowing, Row.ADD, -row.values) for row in found]


def _negative(node: Node, net: Net, axis: int) -> list[RowNode]:
    channels = net.shapes[node.outputs[0]][axis]
    return [RowNode(node.inputs[0], Row.MULTIPLY, np.full(channels, -1, np.float32))]


def _prelu(node: Node, net: Net, axis: int) -> list[RowNode]:
    slope = net.constant_input(node, 1)
    if slope is None:
        return []
    values = per_channel(slope, net.shapes[node.outputs[0]], axis)
    return [] if values is None else [RowNode(node.inputs[0], Row.PRELU, values)]


def _leaky_relu(node: Node, net: Net, axis: int) -> list[RowNode]:
    channels = net.shapes[node.outputs[0]][axis]
    slope = np.float32(node.attributes.get("alpha", 0.01))
    return [RowNode(node.inputs[0], Row.PRELU, np.full(channels, slope, np.float32))]


def _clip(node: Node, net: Net, axis: int) -> list[RowNode]:
    bounds = []
    for number, without in ((1, -np.inf), (2, np.inf)):
        if len(node.inputs) <= number or not node.inputs[number]:
            bounds.append(without)
            continue
        bound = net.constant_input(node, number)
        if bound is None or bound.size != 1:
            return []
        bounds.append(float(bound.reshape(())))
    low, high = bounds
    return [RowNode(node.inputs[0], Row.CLIP, low=low, high=high)]


_ROWS: dict[tuple[str, str], Callable[[Node, Net, int], list[RowNode]]] = {
    ("", "Mul"): _multiply,
    ("", "Add"): _add,
    ("", "Sub"): _subtract,
    ("", "Neg"): _negative,
    ("", "Relu"): lambda node, net, axis: [RowNode(node.inputs[0], Row.RELU)],
    ("", "PRelu"): _prelu,
    ("", "LeakyRelu"): _leaky_relu,
    ("", "Clip"): _clip,
    (PACKED, "Sign"): lambda node, net, axis: [RowNode(node.inputs[0], Row.SIGN)],
}
