"""Everything that runs a plan, but for memory: parts of the kernels, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larqlite_runtime._errors import ArgumentError
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime._program import StepKind
from larqlite_runtime.backends import _native, _precision
from larqlite_runtime.backends.onnxruntime import (
    INSTALL,
    SegmentModel,
    is_installed,
    session,
)
from larqlite_runtime.names import near_matches
from larqlite_runtime.planner import (
    ExecutionPlan,
    Numbers,
    plan as make_plan,
)

# Products of a segment of one sample from which a second thread gains more than waking it costs:
# half of them take some 80 microseconds.
WORTH_THREADS = 8_000_000
# Who computes in float: the kernels where they are as fast, else ONNX Runtime; or the kernels.
AUTO, NATIVE = ENGINES = ("auto", "native")
# Where sums of floats in the kernels are at least as fast as ONNX Runtime (measured).
FAST_WITH_FLOATS = ("amx", "avx512")


@dataclass(frozen=True)
class Engine:
    """What runs the stages of a plan.

    Attributes:
        plan: the plan.
        parts: of the program, as the library takes them; empty where NumPy runs them.
        sessions: of ONNX Runtime, or of NumPy where it is not installed, by number of the
            stage, with the names of the ports.
        segment_path: which of the two: "onnxruntime" or "numpy".
        isa: instruction set, or "numpy".
        threads: that work on one call, at most.
        segment_threads: of each session.
        segment_products: of all segments, for one sample.
    """

    plan: ExecutionPlan
    parts: list[_native.Part]
    sessions: dict[int, tuple[object, SegmentModel]]
    isa: str
    threads: int
    segment_path: str = "onnxruntime"
    segment_threads: tuple[int, ...] = ()
    segment_products: int = 0


def build_engine(
    graph: CheckedGraph,
    threads: int,
    isa: str | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    precision: str = "float32",
    engine: str = AUTO,
) -> Engine:
    """Everything that runs a graph, but for memory of calls; the arguments are `load`'s.

    Where ONNX Runtime is not installed, the kernels run every float convolution that they
    can run, and NumPy what is left for it, which is said once.

    Raises:
        ArgumentError: an unknown `precision` or `engine`.
        NoNativeStepError: the kernels alone are asked for, and have no step for a node.
        MissingOnnxRuntimeError: it is not installed, and NumPy can't run a part of the graph.
    """
    is_whole = _is_whole(engine)
    isa = _native.choose_isa(isa)
    is_alone = not is_installed()
    asked = _precision.precision_of(precision)
    numbers = _precision.usable(asked, isa)
    is_bf16 = numbers is Numbers.BF16
    float_kernels = isa in FAST_WITH_FLOATS or is_alone or is_bf16
    plan = make_plan(
        graph, inputs, outputs, float_kernels, numbers, isa=isa, whole=is_whole
    )
    if numbers is asked:
        _precision.say_what_is_missing(asked, plan)
    parts = (
        [] if isa == "numpy" else [_native.Part(part) for part in plan.program.parts]
    )
    sessions, of_segments, total = {}, [], 0
    for number, stage in enumerate(plan.stages):
        if stage.part is None:
            segment = SegmentModel(plan.subgraph, stage)
            products = sum(graph.products.get(node.name, 0) for node in stage.nodes)
            total += products
            of_segments.append(threads if products >= WORTH_THREADS else 1)
            own = session(segment, stage.nodes, of_segments[-1])
            sessions[number] = own, segment
            segment.forget()
    plan.subgraph.forget_constants()
    if is_alone and not is_whole:
        _say_what_is_slow(plan, isa)
    path = _native.NUMPY if is_alone else "onnxruntime"
    return Engine(plan, parts, sessions, isa, threads, path, tuple(of_segments), total)


def _is_whole(engine: object) -> bool:
    """Whether the kernels run everything."""
    if not isinstance(engine, str) or engine not in ENGINES:
        names = ", ".join(f'"{name}"' for name in ENGINES)
        raise ArgumentError(
            f"load: there is no engine {engine!r}.{near_matches(str(engine), ENGINES)}\n"
            f"  Fix: one of {names}."
        )
    return engine == NATIVE


def _say_what_is_slow(plan: ExecutionPlan, isa: str) -> None:
    """Says once what ONNX Runtime would do faster, if anything."""
    steps = (step for part in plan.program.parts for step in part)
    convolves = any(step.kind == StepKind.CONV_FLOAT for step in steps)
    in_kernels = convolves and isa not in FAST_WITH_FLOATS
    in_numpy = any(stage.part is None for stage in plan.stages)
    where = ["the kernels"] * in_kernels + ["NumPy"] * in_numpy
    if where:
        _native.say_once(
            f"What the file computes in float runs in {' and '.join(where)}: ONNX Runtime, "
            f"which is faster at it, is not installed.\n  Fix: {INSTALL}"
        )
