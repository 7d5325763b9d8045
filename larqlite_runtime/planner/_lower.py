"""The pass `lower`: what is scheduled as steps of a program and segments, over buffers."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import Program
from larqlite_runtime.planner._arena import LiveRanges
from larqlite_runtime.planner._buffer_table import BufferTable
from larqlite_runtime.planner._buffers import BufferAssignment
from larqlite_runtime.planner._execution_plan import ExecutionStage, PlanOutput, Port
from larqlite_runtime.planner._fusion_group import FusionGroups, OnnxRuntimeNode
from larqlite_runtime.planner._layouts import NCHW, NHWC, StoredTensor
from larqlite_runtime.planner._lower_group import GroupLowering
from larqlite_runtime.planner._schedule import ScheduledPart, ScheduledSegment


@dataclass
class LoweredPlan:
    """A plan whose buffers have no offsets yet.

    Attributes:
        live: the buffers of the program, and when each is in use.
        stages, inputs, outputs: as in `ExecutionPlan`.
    """

    live: LiveRanges
    stages: list[ExecutionStage]
    inputs: list[Port]
    outputs: dict[str, PlanOutput]

    @property
    def program(self) -> Program:
        """The program that the buffers belong to."""
        return self.live.program


def lower(
    scheduled: list[ScheduledPart | ScheduledSegment],
    groups: FusionGroups,
    assignment: BufferAssignment,
    small: bool = False,
) -> LoweredPlan:
    """Lowers one item after another; each is a program point.

    Inputs are there from the first point on, and outputs until the last. `small`: whether
    layers pool their bits as they make them, where they can, which the kernels do not.
    """
    subgraph = groups.subgraph
    buffers = BufferTable(subgraph, assignment)
    lowering = GroupLowering(buffers, small)
    inputs = [
        _port(buffers, name, StoredTensor(name, NCHW)) for name in subgraph.inputs
    ]
    stages = []
    for item in scheduled:
        if isinstance(item, ScheduledPart):
            stages += _part(buffers, lowering, item)
        else:
            stages.append(_segment(buffers, groups, item))
    buffers.live.point += 1
    outputs = {}
    for name in subgraph.outputs:
        if name not in subgraph.constants:
            key = assignment.available(name)
            port = _port(buffers, name, key)
            outputs[name] = PlanOutput(port, assignment.slice_of(key))
    return LoweredPlan(buffers.live, stages, inputs, outputs)


def _part(
    buffers: BufferTable, lowering: GroupLowering, part: ScheduledPart
) -> list[ExecutionStage]:
    steps = []
    for group in part.groups:
        buffers.live.point += 1
        step = lowering.step(group)
        if step is not None:
            steps.append(step)
    if not steps:
        return []
    buffers.program.parts.append(steps)
    return [ExecutionStage(part=len(buffers.program.parts) - 1)]


def _segment(
    buffers: BufferTable, groups: FusionGroups, segment: ScheduledSegment
) -> ExecutionStage:
    buffers.live.point += 1
    nodes, assignment = segment.nodes, buffers.assignment
    own = dict.fromkeys(name for node in nodes for name in node.outputs if name)
    read = {
        name: None
        for node in nodes
        for name in groups.subgraph.data_inputs(node)
        if name not in own
    }
    read.update((key.tensor, None) for key in segment.turned)
    stage = ExecutionStage(nodes=nodes)
    for name in read:
        key = assignment.available(name)
        stage.inputs.append(_port(buffers, name, assignment.copies.get(key, key)))
    for name in own:
        for key in _read_outside(groups, assignment, name, nodes):
            stage.outputs.append(_port(buffers, name, key))
    stage.outputs += [_port(buffers, key.tensor, key) for key in segment.turned]
    return stage


def _read_outside(
    groups: FusionGroups,
    assignment: BufferAssignment,
    tensor: str,
    nodes: list[GraphNode],
) -> list[StoredTensor]:
    """The layouts in which a segment's tensor is needed after it."""
    both = (StoredTensor(tensor, NCHW), StoredTensor(tensor, NHWC))
    found = {key for key in both if key in assignment.needed}
    inside = {id(node) for node in nodes}
    for number in groups.subgraph.consumers.get(tensor, ()):
        node = groups.subgraph.nodes[number]
        reader = groups.maker.get(node.outputs[0])
        if id(node) not in inside and isinstance(reader, OnnxRuntimeNode):
            found.add(both[NCHW])
    return sorted(found)


def _port(buffers: BufferTable, tensor: str, key: StoredTensor) -> Port:
    return Port(tensor, key, buffers.buffer(key))
