"""Reshapes and transposes that only put the channels of a tensor into another order.

A channel shuffle is `Reshape`, `Transpose`, `Reshape`. Each axis is told as factors, the
outermost first: whole axes of the source, or parts of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode, Shape
from larqlite_runtime.planner._subgraph import Subgraph

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
MOST_NODES = 8  # of one shuffle; with changes of layout around it there are five

# An axis of the source, from one index of it to the next, how many.
Factor = tuple[int, int, int]


@dataclass(frozen=True)
class ChannelOrder:
    """A tensor as channels of another.

    Attributes:
        source: the other tensor.
        axis: of its channels.
        channels: of each channel, its number in the source.
        nodes: numbers of the nodes between.
    """

    source: str
    axis: int
    channels: np.ndarray
    nodes: tuple[int, ...]


def channel_order(subgraph: Subgraph, tensor: str, axis: int) -> ChannelOrder | None:
    """The nearest tensor whose channels, in some order, are those of a tensor.

    Args:
        subgraph: the graph.
        tensor: of it.
        axis: of its channels.
    """
    nodes: list[int] = []
    name = tensor
    while len(nodes) < MOST_NODES:
        number = subgraph.producer.get(name)
        if number is None or not _only_moves(subgraph, subgraph.nodes[number]):
            return None
        nodes.insert(0, number)
        name = subgraph.nodes[number].inputs[0]
        axes = _moved(subgraph, name, [subgraph.nodes[at] for at in nodes])
        if axes is None:
            return None
        found = _order(subgraph.shapes[name], axes, axis)
        if found is not None:
            return ChannelOrder(name, *found, tuple(nodes))
    return None


def _only_moves(subgraph: Subgraph, node: GraphNode) -> bool:
    return (
        not node.domain
        and node.op in (*_RESHAPES, "Transpose")
        and len(list(filter(None, node.outputs))) == 1
        and subgraph.data_inputs(node) == [node.inputs[0]]
        and all(
            subgraph.shapes[name] and subgraph.shapes[name][0] is None
            for name in (node.inputs[0], node.outputs[0])
        )
    )


def _moved(
    subgraph: Subgraph, source: str, nodes: Sequence[GraphNode]
) -> list[list[Factor]] | None:
    """The axes behind the batch as factors of those of the source."""
    axes = [
        [(axis, 1, size)] if size > 1 else []
        for axis, size in enumerate(subgraph.shapes[source][1:], 1)
    ]
    for node in nodes:
        if node.op == "Transpose":
            rank = len(axes) + 1
            order = [int(at) for at in node.attributes.get("perm", range(rank)[::-1])]
            if order[0] != 0:
                return None
            axes = [axes[at - 1] for at in order[1:]]
        else:
            axes = _cut(axes, subgraph.shapes[node.outputs[0]])
            if axes is None:
                return None
    return axes


def _cut(axes: list[list[Factor]], shape: Shape) -> list[list[Factor]] | None:
    """The same values with other axes; None if a factor would be cut unevenly."""
    waiting = [factor for axis in axes for factor in axis]
    found = []
    for size in shape[1:]:
        own: list[Factor] = []
        while size > 1:
            if not waiting:
                return None
            axis, step, count = waiting.pop(0)
            if count > size:
                if count % size:
                    return None
                waiting.insert(0, (axis, step, count // size))
                step, count = step * (count // size), size
            if size % count:
                return None
            own.append((axis, step, count))
            size //= count
        found.append(own)
    return found


def _order(
    shape: Shape, axes: list[list[Factor]], axis: int
) -> tuple[int, np.ndarray] | None:
    """The axis of channels in the source, and which each is; None if more has moved."""
    sources = {factor[0] for factor in axes[axis - 1]}
    if len(sources) != 1:
        return None
    (of_channels,) = sources
    channels = _indices(axes[axis - 1])
    if len(channels) != shape[of_channels]:
        return None
    others = [own for at, own in enumerate(axes, 1) if at != axis and own]
    left = [
        at
        for at, size in enumerate(shape[1:], 1)
        if at != of_channels and size is not None and size > 1
    ]
    for own, at in zip(others, left, strict=False):
        if {factor[0] for factor in own} != {at}:
            return None
        if not np.array_equal(_indices(own), np.arange(shape[at])):
            return None
    return (of_channels, channels) if len(others) == len(left) else None


def _indices(factors: list[Factor]) -> np.ndarray:
    """The numbers along the axis of the source that factors stand for, in order."""
    found = np.zeros(1, np.int64)
    for _, step, count in factors:
        found = (found[:, None] + step * np.arange(count)).reshape(-1)
    return found
