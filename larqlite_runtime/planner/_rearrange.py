"""Nodes that only move values, as loops of strides: what no view can stand for.

They are for programs that the kernels run as a whole; else ONNX Runtime moves values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode, Shape
from larqlite_runtime._program import strides
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._layouts import NHWC, key_of
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._window import Triple

# A copy of a tensor in its other layout, between two nodes; it is in no file.
TURN = "Turn"
EXPAND = "Expand"  # a tensor repeated along axes of size 1


@dataclass(frozen=True)
class Loop:
    """So many values, and from one to the next in what is read and in what is written."""

    size: int
    source: int
    target: int


@dataclass(frozen=True)
class Rearrangement:
    """One tensor's values put into the places of another, image by image.

    Attributes:
        axis: of the channels of what comes out.
        first, last: where the first value is read, and where it is written.
        size: of the loops around what lies side by side, from the outermost on.
        source, target: strides of these loops.
        channels: values that lie side by side in both.
        has_gaps: whether some of what comes out is not written, and stays 0.
    """

    axis: int
    first: int
    last: int
    size: Triple
    source: Triple
    target: Triple
    channels: int
    has_gaps: bool


def rearrangement_of(
    node: GraphNode, subgraph: Subgraph, axis: int
) -> Rearrangement | None:
    """A node as a rearrangement; None if it is none, or one of too many loops.

    Args:
        node: any node.
        subgraph: the graph it is part of.
        axis: of the channels of its input.
    """
    find = _LOOPS.get((node.domain, node.op))
    if find is None or len([name for name in node.outputs if name]) != 1:
        return None
    before, after = (
        subgraph.shapes[name] for name in (node.inputs[0], node.outputs[0])
    )
    if (
        len(before) < 2
        or len(after) < 2
        or before[0] is not None
        or after[0] is not None
    ):
        return None
    made = int(node.attributes["axis"]) if node.op == TURN else len(after) - 1
    read, written = _memory_strides(before, axis), _memory_strides(after, made)
    found = find(node, subgraph, before, after, read, written)
    if found is None:
        return None
    first, last, loops = found
    joined = _joined(loops)
    inner = [loop for loop in joined if (loop.source, loop.target) == (1, 1)]
    channels = inner[0].size if inner else 1
    outer = [loop for loop in joined if loop not in inner]
    if len(outer) > 3:
        return None
    outer = [Loop(1, 0, 0)] * (3 - len(outer)) + outer
    count = int(np.prod([loop.size for loop in loops], dtype=np.int64))
    return Rearrangement(
        made,
        first,
        last,
        *(
            tuple(getattr(loop, name) for loop in outer)
            for name in ("size", "source", "target")
        ),
        channels,
        count < int(np.prod(after[1:])),
    )


def _memory_strides(shape: Shape, axis: int) -> list[int]:
    """Elements from one index to the next of each axis but the first, in its layout."""
    if key_of("", shape, axis).layout == NHWC:
        *space, channels = strides((*shape[2:], shape[1]))
        return [channels, *space]
    return strides(shape[1:])


def _joined(loops: Sequence[Loop]) -> list[Loop]:
    """The same loops, those that go on where an inner one ends as one of them."""
    ordered = sorted(
        (loop for loop in loops if loop.size > 1), key=lambda loop: -loop.target
    )
    found: list[Loop] = []
    for loop in ordered:
        if found:
            outer, whole = found[-1], loop.size
            if (outer.source, outer.target) == (
                loop.source * whole,
                loop.target * whole,
            ):
                found[-1] = Loop(outer.size * whole, loop.source, loop.target)
                continue
        found.append(loop)
    return found


_Found = tuple[int, int, list[Loop]] | None


def _transpose(node, subgraph, before, after, read, written) -> _Found:
    order = node.attributes.get("perm") or range(len(before))[::-1]
    order = [int(number) for number in order]
    if order[0] != 0:
        return None
    loops = [
        Loop(after[axis], read[order[axis] - 1], written[axis - 1])
        for axis in range(1, len(after))
    ]
    return 0, 0, loops


def _same_places(node, subgraph, before, after, read, written) -> _Found:
    """Each value in its place, of one layout or another; where there is one, repeated."""
    if len(before) != len(after):
        return None
    loops = []
    for axis in range(1, len(after)):
        if before[axis] not in (1, after[axis]):
            return None
        step = read[axis - 1] if before[axis] == after[axis] else 0
        loops.append(Loop(after[axis], step, written[axis - 1]))
    return 0, 0, loops


def _slice(node, subgraph, before, after, read, written) -> _Found:
    given = [subgraph.constant_input(node, number) for number in range(1, 5)]
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        return None
    axes = range(len(starts)) if axes is None else [int(a) % len(before) for a in axes]
    steps = [1] * len(starts) if steps is None else steps
    every, first = [1] * len(before), 0
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis == 0 or step < 1:
            return None
        begin, _, _ = slice(int(start), int(end)).indices(before[axis])
        every[axis] = int(step)
        first += begin * read[axis - 1]
    loops = [
        Loop(after[axis], read[axis - 1] * every[axis], written[axis - 1])
        for axis in range(1, len(after))
    ]
    return first, 0, loops


def _pad(node, subgraph, before, after, read, written) -> _Found:
    """Zeros around a tensor."""
    pads, value = subgraph.constant_input(node, 1), subgraph.constant_input(node, 2)
    chosen = subgraph.constant_input(node, 3)
    if node.attributes.get("mode", "constant") != "constant" or pads is None:
        return None
    if value is not None and value.reshape(()) != 0:
        return None
    rank = len(before)
    axes = range(rank) if chosen is None else [int(axis) % rank for axis in chosen]
    last = 0
    for axis, ahead, behind in zip(
        axes, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True
    ):
        if ahead < 0 or behind < 0 or (axis == 0 and (ahead or behind)):
            return None
        last += int(ahead) * (written[axis - 1] if axis else 0)
    loops = [
        Loop(before[axis], read[axis - 1], written[axis - 1]) for axis in range(1, rank)
    ]
    return 0, last, loops


def _tile(node, subgraph, before, after, read, written) -> _Found:
    loops = []
    for axis in range(1, len(after)):
        times, size = after[axis] // before[axis], before[axis]
        loops.append(Loop(size, read[axis - 1], written[axis - 1]))
        loops.append(Loop(times, 0, written[axis - 1] * size))
    return 0, 0, loops


def _resize(node, subgraph, before, after, read, written) -> _Found:
    """Every value so many times, as `nearest` of whole factors has it."""
    given = node.attributes
    exact = given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    is_whole = exact == "half_pixel" and rounding.startswith("round_prefer")
    is_whole |= exact == "asymmetric" and rounding == "floor"
    if given.get("mode", "nearest") != "nearest" or not is_whole:
        return None
    factors = subgraph.constant_input(node, 2)
    if factors is not None and factors.size and (factors != np.rint(factors)).any():
        return None
    loops = []
    for axis in range(1, len(after)):
        factor, left = divmod(after[axis], before[axis])
        if left:
            return None
        loops.append(Loop(before[axis], read[axis - 1], written[axis - 1] * factor))
        loops.append(Loop(factor, 0, written[axis - 1]))
    return 0, 0, loops


_LOOPS: dict[tuple[str, str], Callable[..., _Found]] = {
    ("", "Transpose"): _transpose,
    ("", "Slice"): _slice,
    ("", "Pad"): _pad,
    ("", "Resize"): _resize,
    ("", "Tile"): _tile,
    (DOMAIN, TURN): _same_places,
    (DOMAIN, EXPAND): _same_places,
}
