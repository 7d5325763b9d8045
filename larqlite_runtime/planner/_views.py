"""Nodes that only say where values lie: views, slices, concatenations, padded channels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.planner._layouts import NCHW, channel_axis_like, key_of
from larqlite_runtime.planner._subgraph import Subgraph

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")


@dataclass(frozen=True)
class Structure:
    """Where the values of a node's outputs lie.

    Attributes:
        axis: of the channels in each output.
        kind: "same" memory as the input, rows included; "reshaped" memory of the input,
            which has to be contiguous; "slice" of the input's channels; "concat" of inputs.
        parts: first channel of every output (slice) or input (concat).
    """

    axis: int
    kind: str
    parts: tuple[int, ...] = (0,)


def structure_of(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    """A node whose input has its channels innermost; None if values have to move."""
    if node.domain:
        return None
    if node.op == "Transpose":
        return _transpose(node, subgraph, axis)
    if node.op in _RESHAPES and subgraph.data_inputs(node) == [node.inputs[0]]:
        return _reshape(node, subgraph, axis)
    find = {"Concat": _concat, "Slice": _slice, "Split": _split, "Pad": _pad}.get(
        node.op
    )
    return find(node, subgraph, axis) if find else None


def _transpose(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    rank = len(subgraph.shapes[node.inputs[0]])
    order = [int(number) for number in node.attributes.get("perm", range(rank)[::-1])]
    if order == list(range(rank)):
        return Structure(axis, "same")
    if rank < 3:
        return None
    if axis == 1 and order == [0, *range(2, rank), 1]:
        return Structure(rank - 1, "same")
    if axis == rank - 1 and order == [0, rank - 1, *range(1, rank - 1)]:
        return Structure(1, "same")
    return None


def _reshape(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    before, after = subgraph.shapes[node.inputs[0]], subgraph.shapes[node.outputs[0]]
    if len([name for name in node.outputs if name]) != 1 or len(after) < 2:
        return None
    if after[0] is not None:
        return None
    if before == after:
        return Structure(axis, "same")
    if key_of(node.inputs[0], before, axis).layout == NCHW:
        return Structure(channel_axis_like(after), "reshaped")
    if axis == 1 and len(after) > 2 and after[1] == before[1]:
        return Structure(1, "reshaped")
    return None


def _concat(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    rank = len(subgraph.shapes[node.outputs[0]])
    if int(node.attributes["axis"]) % rank != axis:
        return None
    if set(node.inputs) & subgraph.constants.keys():
        return None
    sizes = [subgraph.shapes[name][axis] for name in node.inputs]
    return Structure(axis, "concat", tuple(np.cumsum([0, *sizes[:-1]]).tolist()))


def _slice(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    rank = len(subgraph.shapes[node.inputs[0]])
    starts, ends = subgraph.constant_input(node, 1), subgraph.constant_input(node, 2)
    if starts is None or ends is None:
        return None
    axes, steps = subgraph.constant_input(node, 3), subgraph.constant_input(node, 4)
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    if [int(item) % rank for item in axes] != [axis] or list(steps) != [1]:
        return None
    size = subgraph.shapes[node.inputs[0]][axis]
    first, _, _ = slice(int(starts[0]), int(ends[0])).indices(size)
    return Structure(axis, "slice", (first,))


def _split(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    rank = len(subgraph.shapes[node.inputs[0]])
    if int(node.attributes.get("axis", 0)) % rank != axis or "" in node.outputs:
        return None
    sizes = [subgraph.shapes[name][axis] for name in node.outputs]
    return Structure(axis, "slice", tuple(np.cumsum([0, *sizes[:-1]]).tolist()))


def _pad(node: GraphNode, subgraph: Subgraph, axis: int) -> Structure | None:
    """Zeros before and after the channels: a concatenation of one tensor."""
    pads, value = subgraph.constant_input(node, 1), subgraph.constant_input(node, 2)
    if node.attributes.get("mode", "constant") != "constant" or pads is None:
        return None
    if (len(node.inputs) > 3 and node.inputs[3]) or (
        value is not None and value.reshape(()) != 0
    ):
        return None
    rank = len(subgraph.shapes[node.inputs[0]])
    others = [int(size) for number, size in enumerate(pads) if number % rank != axis]
    if any(others) or min(pads) < 0:
        return None
    return Structure(axis, "concat", (int(pads[axis]),))


def elements(subgraph: Subgraph, tensor: str) -> int:
    """Values of one image of a tensor."""
    shape = subgraph.shapes[tensor]
    return math.prod(shape[1:] if shape and shape[0] is None else shape)
