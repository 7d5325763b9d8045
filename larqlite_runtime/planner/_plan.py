"""How a graph becomes an `ExecutionPlan`: the passes of the planner, one a line."""

from __future__ import annotations

from collections.abc import Sequence

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.planner._arena import arrange
from larqlite_runtime.planner._buffers import assign_buffers
from larqlite_runtime.planner._execution_plan import ExecutionPlan
from larqlite_runtime.planner._fuse import fuse
from larqlite_runtime.planner._lower import LoweredPlan, lower
from larqlite_runtime.planner._partition import partition_nodes
from larqlite_runtime.planner._schedule import schedule
from larqlite_runtime.planner._subgraph import Subgraph


def plan(
    graph: CheckedGraph,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    float_kernels: bool = True,
    checked: bool = False,
) -> ExecutionPlan:
    """Plans how a graph runs.

    Args:
        graph: a checked model.
        inputs: tensors that are fed; those of the model by default.
        outputs: tensors that are asked for; those of the model by default.
        float_kernels: whether the kernels are fast with floats too.
        checked: whether every program on the way is checked, which takes long.

    Raises:
        InputError: a name that the model does not have, or outputs that depend on an
            input that is not fed.
        BrokenPlanError: `checked`, and the planner made a mistake.
    """
    subgraph = Subgraph(graph, inputs or graph.inputs, outputs or graph.outputs)
    partition = partition_nodes(subgraph, float_kernels)
    groups = fuse(subgraph, partition)
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
    )
    if checked:
        _check(planned)
    groups.dissolve()
    return planned


def _check(planned: LoweredPlan | ExecutionPlan) -> None:
    from larqlite_runtime.planner._check import check  # users' plans are not checked

    check(planned)
