"""How a graph becomes an `ExecutionPlan`: the passes of the planner, one a line."""

from __future__ import annotations

from collections.abc import Sequence

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime._program import ALIGNMENT, Program, StepKind
from larqlite_runtime.planner._arena import arrange
from larqlite_runtime.planner._buffers import assign_buffers
from larqlite_runtime.planner._execution_plan import ExecutionPlan
from larqlite_runtime.planner._fuse import fuse
from larqlite_runtime.planner._gather_means import gather_means
from larqlite_runtime.planner._keep_bits import keep_bits
from larqlite_runtime.planner._lower import LoweredPlan, lower
from larqlite_runtime.planner._partition import Partition, partition_nodes
from larqlite_runtime.planner._pixels import PixelLayer, take_pixels
from larqlite_runtime.planner._schedule import schedule
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._whole import complete, refuse_missing
from larqlite_runtime.planner.producers import Numbers, PixelScale


def plan(
    graph: CheckedGraph,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    float_kernels: bool = True,
    numbers: Numbers = Numbers.FLOAT32,
    checked: bool = False,
    isa: str = "portable",
    pixels: PixelScale | None = None,
    small: bool = False,
    whole: bool = False,
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
        pixels: what is made of integer pixels before they are fed, for `Numbers.BYTES`: the
            program takes the pixels themselves.
        small: for devices with little memory: buffers lie as close as words allow, bits are
            pooled as they are made (`BitPool`), and borders are filled at every call
            (`Program.keeps_borders`): the kernels have no form for either.
        whole: whether the kernels have to run everything, what is no faster there too.

    Raises:
        InputError: a name that the model does not have, or outputs that depend on an
            input that is not fed.
        NoNativeStepError: `whole`, and the kernels have no step for a node; all such are named.
        BrokenPlanError: `checked`, and the planner made a mistake.
    """
    subgraph = Subgraph(graph, inputs or graph.inputs, outputs or graph.outputs)
    subgraph, partition, layers = _divided(
        subgraph, float_kernels, numbers, isa, pixels, whole
    )
    if whole:
        refuse_missing(subgraph, partition)
    groups = fuse(subgraph, partition)
    gather_means(groups, small)
    keep_bits(groups)
    assignment = assign_buffers(groups)
    scheduled = schedule(groups, assignment)
    lowered = lower(scheduled, groups, assignment, small)
    if checked:
        _check(lowered)
    arrange(lowered.live, 4 if small else ALIGNMENT, keeps_borders=not small)
    planned = ExecutionPlan(
        subgraph,
        lowered.program,
        lowered.stages,
        lowered.inputs,
        lowered.outputs,
        partition.why_float_by_name(subgraph),
        _numbers_in(lowered.program),
        tuple(layer.source for layer in layers),
        _exact_inputs(subgraph, partition, layers),
    )
    if checked:
        _check(planned)
    groups.dissolve()
    return planned


def _divided(
    subgraph: Subgraph,
    float_kernels: bool,
    numbers: Numbers,
    isa: str,
    pixels: PixelScale | None,
    whole: bool,
) -> tuple[Subgraph, Partition, list[PixelLayer]]:
    """The graph, who runs its nodes, and the layers that read pixels."""

    def divide(
        graph: Subgraph, numbers: Numbers, layers: Sequence[PixelLayer] = ()
    ) -> tuple[Subgraph, Partition]:
        def found(graph: Subgraph) -> Partition:
            return partition_nodes(graph, float_kernels, numbers, layers, isa, whole)

        return complete(graph, found) if whole else (graph, found(graph))

    if numbers in (Numbers.PIXELS, Numbers.BYTES):
        bare, layers = take_pixels(subgraph, pixels)
        bare, partition = divide(bare, numbers, layers)
        taken = {bare.nodes[number].name for number in partition.convs}
        if layers and all(layer.name in taken for layer in layers):
            if numbers is Numbers.BYTES:
                partition.byte_inputs = {layer.source for layer in layers}
            return bare, partition, layers
        numbers = Numbers.FLOAT32
    return *divide(subgraph, numbers), []


def _numbers_in(program: Program) -> Numbers:
    """The narrowest numbers that a float layer of a program multiplies."""
    kinds = {step.kind for part in program.parts for step in part}
    if StepKind.CONV_BYTES in kinds:
        return Numbers.BYTES
    if StepKind.CONV_PIXELS in kinds:
        return Numbers.PIXELS
    return Numbers.BF16 if StepKind.CONV_BF16 in kinds else Numbers.FLOAT32


def _exact_inputs(
    subgraph: Subgraph, partition: Partition, layers: list[PixelLayer]
) -> tuple[str, ...]:
    """Inputs of bytes whose first layer gives what float32 gives."""
    exact = {
        subgraph.nodes[number].name
        for number, conv in partition.convs.items()
        if conv.numbers is Numbers.BYTES and conv.sums.is_exact
    }
    return tuple(layer.source for layer in layers if layer.name in exact)


def _check(planned: LoweredPlan | ExecutionPlan) -> None:
    from larqlite_runtime.planner._check import check  # users' plans are not checked

    check(planned)
