"""Everything that runs a plan, but for memory: parts of the kernels, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime._program import StepKind
from larqlite_runtime.backends import _native
from larqlite_runtime.backends.onnxruntime import (
    INSTALL,
    SegmentModel,
    is_installed,
    session,
)
from larqlite_runtime.planner import ExecutionPlan, plan as make_plan

# Where sums of floats in the kernels are at least as fast as ONNX Runtime (measured).
FAST_WITH_FLOATS = ("amx", "avx512")


@dataclass(frozen=True)
class Engine:
    """What runs the stages of a plan.

    Attributes:
        plan: the plan.
        parts: of the program, as the library takes them; empty where NumPy runs them.
        sessions: of ONNX Runtime, by number of the stage, with the names of the ports.
        isa: instruction set, or "numpy".
        threads: that work on one call.
    """

    plan: ExecutionPlan
    parts: list[_native.Part]
    sessions: dict[int, tuple[object, SegmentModel]]
    isa: str
    threads: int


def build_engine(
    graph: CheckedGraph,
    threads: int,
    isa: str | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Engine:
    """Everything that runs a graph, but for memory of calls; the arguments are `load`'s.

    Where ONNX Runtime is not installed, the kernels run every float convolution that they
    can run, which is said once if they are slow with floats on this CPU.

    Raises:
        MissingOnnxRuntimeError: it is not installed, and runs a part of the graph.
    """
    isa = _native.choose_isa(isa)
    is_alone = isa not in FAST_WITH_FLOATS and not is_installed()
    float_kernels = isa in FAST_WITH_FLOATS or is_alone
    plan = make_plan(graph, inputs, outputs, float_kernels=float_kernels)
    parts = (
        [] if isa == "numpy" else [_native.Part(part) for part in plan.program.parts]
    )
    sessions = {}
    for number, stage in enumerate(plan.stages):
        if stage.part is None:
            segment = SegmentModel(plan.subgraph, stage)
            sessions[number] = session(segment, stage.nodes, threads), segment
            segment.model, segment.constants = b"", {}
    plan.subgraph.forget_constants()
    steps = (step for part in plan.program.parts for step in part)
    if is_alone and any(step.kind == StepKind.CONV_FLOAT for step in steps):
        _native.say_once(
            "Float convolutions run in the kernels, which are slower at them than ONNX "
            f"Runtime, but that is not installed.\n  Fix: {INSTALL}"
        )
    return Engine(plan, parts, sessions, isa, threads)
