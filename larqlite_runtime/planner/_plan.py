"""How a graph becomes an `ExecutionPlan`: the passes of the planner, one a line."""

from __future__ import annotations

from collections.abc import Sequence

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime._program import Program, StepKind
from larqlite_runtime.planner._arena import arrange
from larqlite_runtime.planner._buffers import assign_buffers
from larqlite_runtime.planner._execution_plan import ExecutionPlan
from larqlite_runtime.planner._fuse import fuse
from larqlite_runtime.planner._keep_bits import keep_bits
from larqlite_runtime.planner._lower import LoweredPlan, lower
from larqlite_runtime.planner._partition import Partition, partition_nodes
from larqlite_runtime.planner._pixels import PixelLayer, take_pixels
from larqlite_runtime.planner._schedule import schedule
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner.producers import Numbers


def plan(
    graph: CheckedGraph,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    float_kernels: bool = True,
    numbers: Numbers = Numbers.FLOAT32,
    checked: bool = False,
    isa: str = "portable",
) -> ExecutionPlan:
    """Plans how a graph runs.

    Args:
        graph: a checked model.
        inputs: tensors that are fed; those of the model by default.
        outputs: tensors that are asked for; those of the model by default.
        float_kernels: whether the kernels are fast with floats too.
        numbers: that the kernels had better multiply in float layers; float32 where they
            can't, as the plan says.
        checked: whether every program on the way is checked, which takes long.
        isa: the instruction set, whose speeds say how packed nodes are summed.

    Raises:
        InputError: a name that the model does not have, or outputs that depend on an
            input that is not fed.
        BrokenPlanError: `checked`, and the planner made a mistake.
    """
    subgraph = Subgraph(graph, inputs or graph.inputs, outputs or graph.outputs)
    subgraph, partition, pixels = _divided(subgraph, float_kernels, numbers, isa)
    groups = fuse(subgraph, partition)
    keep_bits(groups)
    assignment = assign_buffers(groups)
    scheduled = schedule(groups, assignment)
    lowered = lower(scheduled, groups, assignment)
    if checked:
        _check(lowered)
    arrange(lowered.live)
    planned = ExecutionPlan(
        subgraph,
        lowered.program,
        lowered.stages,
        lowered.inputs,
        lowered.outputs,
        partition.why_float_by_name(subgraph),
        _numbers_in(lowered.program),
        tuple(layer.source for layer in pixels),
    )
    if checked:
        _check(planned)
    groups.dissolve()
    return planned


def _divided(
    subgraph: Subgraph, float_kernels: bool, numbers: Numbers, isa: str
) -> tuple[Subgraph, Partition, list[PixelLayer]]:
    """The graph, who runs its nodes, and the layers that read pixels."""
    if numbers is Numbers.PIXELS:
        bare, pixels = take_pixels(subgraph)
        partition = partition_nodes(bare, float_kernels, numbers, pixels, isa)
        taken = {bare.nodes[number].name for number in partition.convs}
        if pixels and all(layer.name in taken for layer in pixels):
            return bare, partition, pixels
        numbers = Numbers.FLOAT32
    return subgraph, partition_nodes(subgraph, float_kernels, numbers, (), isa), []


def _numbers_in(program: Program) -> Numbers:
    """The narrowest numbers that a float layer of a program multiplies."""
    kinds = {step.kind for part in program.parts for step in part}
    if StepKind.CONV_PIXELS in kinds:
        return Numbers.PIXELS
    return Numbers.BF16 if StepKind.CONV_BF16 in kinds else Numbers.FLOAT32


def _check(planned: LoweredPlan | ExecutionPlan) -> None:
    from larqlite_runtime.planner._check import check  # users' plans are not checked

    check(planned)
