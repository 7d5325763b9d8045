"""How a model runs, told without running it: steps, what they are made of, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from larqlite_runtime._profile import PATHS, in_float
from larqlite_runtime.backends import Engine, pieces_of, threads_of
from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_runtime.planner import (
    ExecutionPlan,
    live_ranges_of,
    lower_bound,
    points_of,
)
from larqlite_runtime.tables import aligned, folded, shortened

_STEPS = ("step", "kind", "layers", "epilogues", "reads", "writes")
_BUFFERS = ("buffer", "holds", "layout", "dtype", "bytes", "offset", "steps")


@dataclass(frozen=True)
class ExplainedStep:
    """What runs at one point: a fusion group of the kernels, or a segment.

    Attributes:
        number: of the point, from 1 on.
        stage: number of the stage: neighbours that one engine runs.
        path: what runs it: an instruction set, "numpy" or "onnxruntime".
        kind: of what makes the rows: "conv", "depthwise", "load", "pool_max"..., or
            "segment".
        nodes: names of the nodes of the file that it stands for.
        epilogues: what the rows pass through, in order.
        reads, writes: numbers of buffers.
    """

    number: int
    stage: int
    path: str
    kind: str
    nodes: tuple[str, ...]
    epilogues: tuple[str, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class ExplainedBuffer:
    """Memory of a tensor.

    Attributes:
        number: of the buffer.
        holds: name of the tensor, or of the one that others lie in.
        layout: "NCHW" (the order of the file), "NHWC" (its axis 1 innermost), with
            "padded" before it where it has borders, "bits", or "codes".
        dtype: of the elements; bits are 32 in a "uint32", codes four.
        bytes: of one sample.
        offset: in the arena; None for what the caller hands in.
        first, last: steps at which it is in use; an output is read after the last one.
        is_pinned: whether it holds borders or zeros that stay from call to call, so that
            nothing else may lie there at other steps.
    """

    number: int
    holds: str
    layout: str
    dtype: str
    bytes: int
    offset: int | None
    first: int
    last: int
    is_pinned: bool


@dataclass(frozen=True)
class Explanation(ShowsTables):
    """How a model runs; `str()` of it is a text.

    Attributes:
        steps: in the order in which they run.
        buffers: of the tensors between them.
        arena: bytes of one sample that the buffers lie in.
        lower_bound: the largest sum of bytes in use at one step.
        float_layers: what multiplies in float, and why; see
            `larqlite_runtime.float_layers`.
        threads: that work on one sample: as many as are worth their while.
        most_threads: that the model may use.
        seconds: that the steps of the kernels are estimated to take for one sample on one
            thread, by which threads are chosen.
    """

    steps: tuple[ExplainedStep, ...]
    buffers: tuple[ExplainedBuffer, ...]
    arena: int
    lower_bound: int
    float_layers: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    most_threads: int = 1
    seconds: float = 0.0

    def to_dict(self) -> dict:
        """The same as dictionaries, lists and numbers."""
        return asdict(self)

    def __str__(self) -> str:
        lines = []
        for table in self._shown():
            lines += [table.title] * bool(table.title)
            right = (0, 4, 5) if table.header == _BUFFERS else (0,)
            lines += [aligned(table.header, table.rows, right), ""]
            lines += map(folded, table.notes)
        return "\n".join(lines)

    def _shown(self) -> Iterator[ShownTable]:
        for stage in sorted({step.stage for step in self.steps}):
            steps = [step for step in self.steps if step.stage == stage]
            what = "a segment" if steps[0].kind == "segment" else "steps of the kernels"
            rows = [
                (
                    str(step.number),
                    step.kind,
                    shortened(", ".join(step.nodes)) or "layout of inputs",
                    shortened(" ".join(step.epilogues), 64),
                    " ".join(map(str, step.reads)),
                    " ".join(map(str, step.writes)),
                )
                for step in steps
            ]
            title = f"stage {stage}: {what}, {steps[0].path}"
            yield ShownTable(title, _STEPS, rows)
        rows = [
            (
                str(buffer.number),
                shortened(buffer.holds),
                buffer.layout,
                buffer.dtype,
                f"{buffer.bytes:,}",
                "fed" if buffer.offset is None else f"{buffer.offset:,}",
                f"{buffer.first}-{buffer.last}" + ", pinned" * buffer.is_pinned,
            )
            for buffer in self.buffers
        ]
        needed = f"arena: {self.arena:,} bytes a sample; {self.lower_bound:,} are in use at once"
        plural = "s" * (self.threads != 1)
        chosen = (
            f"threads: a sample is run by {self.threads} thread{plural} of at most "
            f"{self.most_threads}; the kernels take an estimated {self.seconds * 1e6:,.0f} "
            "us on one"
        )
        notes = [needed, chosen, *in_float(self.float_layers)]
        yield ShownTable("", _BUFFERS, rows, notes)


def explanation(engine: Engine, float_layers: Mapping[str, str]) -> Explanation:
    """Explains what an engine runs."""
    plan = engine.plan
    program, stages = plan.program, plan.stages
    live = live_ranges_of(
        program, stages, [output.port.buffer for output in plan.outputs.values()]
    )
    pieces = pieces_of(engine, 1)
    return Explanation(
        tuple(_steps(engine)),
        tuple(_buffers(plan, live)),
        program.arena,
        lower_bound(program, stages, live),
        dict(float_layers),
        threads_of(engine, pieces),
        engine.threads,
        sum(pieces.seconds),
    )


def _steps(engine: Engine) -> Iterator[ExplainedStep]:
    program, points = (
        engine.plan.program,
        points_of(engine.plan.program, engine.plan.stages),
    )
    number = 0
    for stage_number, stage in enumerate(engine.plan.stages, 1):
        steps = [None] if stage.part is None else program.parts[stage.part]
        for step in steps:
            number += 1
            _, accesses = next(points)
            reads, writes = (
                tuple(dict.fromkeys(a.buffer for a in accesses if a.writes == writes))
                for writes in (False, True)
            )
            if step is None:
                nodes = tuple(node.name for node in stage.nodes)
                path, kind, ops = engine.segment_path, "segment", ()
            else:
                nodes, path = step.nodes, PATHS[engine.isa]
                kind = step.kind.name.lower()
                ops = tuple(op.kind.name.lower() for op in step.ops)
            yield ExplainedStep(
                number, stage_number, path, kind, nodes, ops, reads, writes
            )


def _buffers(
    plan: ExecutionPlan, live: Mapping[int, tuple[int, int]]
) -> Iterator[ExplainedBuffer]:
    for number, buffer in enumerate(plan.program.buffers):
        if buffer.constant is not None or number not in live:
            continue
        yield ExplainedBuffer(
            number,
            buffer.holds,
            buffer.layout,
            buffer.dtype.name,
            buffer.bytes,
            None if buffer.external else buffer.offset,
            *live[number],
            is_pinned=buffer.initial is not None,
        )
