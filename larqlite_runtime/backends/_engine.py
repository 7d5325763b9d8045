"""Sessions and native parts for a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from larqlite_runtime._graph import Graph
from larqlite_runtime._workspace import Engine
from larqlite_runtime.backends import _native
from larqlite_runtime.backends.onnxruntime._segment import Segment
from larqlite_runtime.planner._plan import plan as make_plan

if TYPE_CHECKING:
    from larqlite_runtime._runner import Options

# Where sums of floats in the kernels are at least as fast as ONNX Runtime (measured).
FAST_WITH_FLOATS = ("amx", "avx512")
# ONNX Runtime before 1.32 moves zeros around an image into the pads of a pooling behind
# them, where they are no zeros. Files of earlier versions of larqlite have such a pair.
_CHANGES_POOLINGS = "Pad_Fusion"


def build_engine(graph: Graph, options: Options) -> Engine:
    """Everything that runs a graph, but for memory of calls."""
    isa, threads = _native.choose_isa(options.isa), options.threads
    plan = make_plan(
        graph,
        options.inputs,
        options.outputs,
        float_kernels=isa in FAST_WITH_FLOATS,
    )
    parts = (
        [] if isa == "numpy" else [_native.Part(part) for part in plan.program.parts]
    )
    sessions = {}
    for number, stage in enumerate(plan.stages):
        if stage.part is None:
            segment = Segment(plan.net, stage)
            pools = any(node.op in ("MaxPool", "AveragePool") for node in stage.nodes)
            off = [_CHANGES_POOLINGS] if pools else []
            sessions[number] = _session(segment, threads, off), segment
            segment.model, segment.constants = b"", {}
    plan.net.forget_constants()
    return Engine(plan, parts, sessions, isa, threads)


def _session(segment: Segment, threads: int, disabled: list[str]):
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
