"""Everything that runs a plan, but for memory: parts of the kernels, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.backends import _native
from larqlite_runtime.backends.onnxruntime import SegmentModel
from larqlite_runtime.planner import ExecutionPlan, plan as make_plan

# Where sums of floats in the kernels are at least as fast as ONNX Runtime (measured).
FAST_WITH_FLOATS = ("amx", "avx512")
# ONNX Runtime before 1.32 moves zeros around an image into the pads of a pooling behind
# them, where they are no zeros. Files of earlier versions of larqlite have such a pair.
_CHANGES_POOLINGS = "Pad_Fusion"


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
    """Everything that runs a graph, but for memory of calls; the arguments are `load`'s."""
    isa = _native.choose_isa(isa)
    plan = make_plan(graph, inputs, outputs, float_kernels=isa in FAST_WITH_FLOATS)
    parts = (
        [] if isa == "numpy" else [_native.Part(part) for part in plan.program.parts]
    )
    sessions = {}
    for number, stage in enumerate(plan.stages):
        if stage.part is None:
            segment = SegmentModel(plan.subgraph, stage)
            pools = any(node.op in ("MaxPool", "AveragePool") for node in stage.nodes)
            off = [_CHANGES_POOLINGS] if pools else []
            sessions[number] = _session(segment, threads, off), segment
            segment.model, segment.constants = b"", {}
    plan.subgraph.forget_constants()
    return Engine(plan, parts, sessions, isa, threads)


def _session(segment: SegmentModel, threads: int, disabled: list[str]):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if segment.constants:
        values = onnxruntime.OrtValue.ortvalue_from_numpy
        options.add_external_initializers(
            list(segment.constants), [values(a) for a in segment.constants.values()]
        )
    return onnxruntime.InferenceSession(
        segment.model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=disabled,
    )
