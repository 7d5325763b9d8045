"""The pass `schedule`: the order in which items run, with few changes between the engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.planner._buffers import BufferAssignment
from larqlite_runtime.planner._fusion_group import (
    BitMove,
    FusionGroup,
    FusionGroups,
    OnnxRuntimeNode,
    PlanItem,
    RearrangedNode,
    ViewNode,
)
from larqlite_runtime.planner._layouts import StoredTensor


@dataclass(frozen=True)
class ScheduledPart:
    """Groups of the kernels, and moves of their bits or values, one after another."""

    groups: list[FusionGroup | BitMove | RearrangedNode]


@dataclass(frozen=True)
class ScheduledSegment:
    """Nodes that ONNX Runtime runs at once.

    Attributes:
        nodes: in order.
        turned: fed tensors in the layouts that it has to give them beside their own.
    """

    nodes: list[GraphNode]
    turned: list[StoredTensor] = field(default_factory=list)


def schedule(
    groups: FusionGroups, assignment: BufferAssignment
) -> list[ScheduledPart | ScheduledSegment]:
    """Neighbours of one engine in the order of `ordered`, views left out.

    The first segment also turns fed tensors; there is one for that alone if kernels come
    first.
    """
    runs = [item for item in ordered(groups) if not isinstance(item, ViewNode)]
    turned = _turned(groups, assignment)
    found: list[ScheduledPart | ScheduledSegment] = []
    if turned and not (runs and isinstance(runs[0], OnnxRuntimeNode)):
        found.append(ScheduledSegment([], turned))
        turned = []
    for is_segment, items in groupby(runs, lambda i: isinstance(i, OnnxRuntimeNode)):
        if is_segment:
            found.append(ScheduledSegment([item.node for item in items], turned))
            turned = []
        else:
            found.append(ScheduledPart(list(items)))
    return found


def ordered(groups: FusionGroups) -> list[PlanItem]:
    """The items, each after those it needs, with levels."""
    result: list[PlanItem] = []
    state: dict[int, int] = {}

    def runs(item: PlanItem) -> bool:
        if isinstance(item, ViewNode):
            return item.node.outputs[0] in groups.partition.native
        return isinstance(item, (FusionGroup, BitMove, RearrangedNode))

    for start in sorted(groups.items, key=lambda item: item.number):
        waiting = [(start, False)]
        while waiting:
            item, done = waiting.pop()
            if done:
                item.level = max(
                    (
                        other.level
                        + (isinstance(item, OnnxRuntimeNode) and runs(other))
                        for other in groups.before(item)
                    ),
                    default=0,
                )
                result.append(item)
            elif id(item) not in state:
                state[id(item)] = 1
                waiting.append((item, True))
                waiting += [(other, False) for other in groups.before(item)]
    position = {id(item): number for number, item in enumerate(result)}
    return sorted(
        result,
        key=lambda item: (
            item.level,
            not isinstance(item, OnnxRuntimeNode),
            position[id(item)],
        ),
    )


def _turned(groups: FusionGroups, assignment: BufferAssignment) -> list[StoredTensor]:
    """Layouts of fed tensors that are needed beside their own."""
    shapes, native = groups.subgraph.shapes, groups.partition.native
    return sorted(
        key
        for key in assignment.needed
        if key.tensor in shapes
        and key.tensor not in native
        and not isinstance(groups.maker.get(key.tensor), OnnxRuntimeNode)
        and key != assignment.available(key.tensor)
    )
