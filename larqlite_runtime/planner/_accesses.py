"""What steps and segments read and write, and so how long each buffer is in use.

It is read off the program, not off what planning noted, so that one can check the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._program import (
    CODES,
    GATHERS,
    HALF_CONVS,
    HALF_PACKS,
    NOWHERE,
    PACKS,
    POOLS,
    READS_VIEW,
    SUMS_OF_INTEGERS,
    Buffer,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    Program,
    StepKind,
    TensorView,
)
from larqlite_runtime.format import code_words_of, words_of
from larqlite_runtime.planner._execution_plan import ExecutionStage

_FLOAT, _WORD = np.dtype(np.float32), np.dtype(np.uint32)
_INT = np.dtype(np.int32)
_HALF, _BYTE = np.dtype(np.uint16), np.dtype(np.uint8)


@dataclass(frozen=True)
class Access:
    """Elements of a buffer that a step or a segment reads or writes.

    Attributes:
        dtype: that the elements have to have.
        writes: whether they are written.
        position: of the epilogue that does it; -1 for the producer.
        view: where they begin and their strides; None for the whole buffer.
        size: depth, height and width of the pixels.
        last: elements of each.
        kernel, tap: of the window around each pixel, or of planes.
        is_by_row: whether a row is read only where that row is worked on, so that it may
            be written over from there on.
    """

    buffer: int
    dtype: np.dtype
    writes: bool = False
    position: int = -1
    view: TensorView | None = None
    size: tuple[int, int, int] = (1, 1, 1)
    last: int = 0
    kernel: tuple[int, int, int] = (1, 1, 1)
    tap: tuple[int, int, int] = (0, 0, 0)
    is_by_row: bool = False

    def elements(self, buffers: list[Buffer]) -> np.ndarray:
        """Numbers of the elements in an image of the buffer; each once unless written twice."""
        if self.view is None:
            return np.arange(buffers[self.buffer].count)
        view = self.view
        axes = [(view.depth, view.row, view.pixel), self.tap]
        pixels = np.array([view.offset])
        for strides, counts in zip(axes, (self.size, self.kernel), strict=True):
            for stride, count in zip(strides, counts, strict=True):
                pixels = (pixels[:, None] + stride * np.arange(count)).reshape(-1)
            if not self.writes:
                pixels = np.unique(pixels)
        found = (pixels[:, None] + np.arange(self.last)).reshape(-1)
        return found if self.writes else np.unique(found)


def accesses_of(step: KernelStep) -> Iterator[Access]:
    """The accesses of a step to tensors, in the order in which they happen."""
    yield _input_of(step)
    gathered = False  # into one pixel, when all rows have been read
    for position, op in enumerate(step.ops):
        if op.kind in GATHERS:
            step, gathered = replace(step, size=(1, 1, 1)), True
        if op.kind == EpilogueKind.MULTIPLY_IMAGE:
            yield Access(op.a, _FLOAT, position=position)
        if op.view.buffer != NOWHERE:
            yield _of_epilogue(step, op, position, gathered)


def _input_of(step: KernelStep) -> Access:
    view, kind = step.input, step.kind
    if kind == StepKind.LOAD:
        return Access(
            view.buffer,
            _FLOAT,
            view=view,
            size=step.size,
            last=step.channels,
            is_by_row=True,
        )
    if kind in POOLS or kind in (
        StepKind.MEAN,
        StepKind.MOVE_BITS,
        StepKind.CONV_BYTES,
    ):
        strides = view.depth, view.row, view.pixel
        if kind != StepKind.MEAN:
            strides = tuple(
                tap // dilation
                for tap, dilation in zip(step.tap, step.dilation, strict=True)
            )
        whole = TensorView(view.buffer, view.offset, view.image, *strides)
        dtype, last = {
            StepKind.MOVE_BITS: (_WORD, step.words),
            StepKind.CONV_BYTES: (_BYTE, step.in_channels),
        }.get(kind, (_FLOAT, step.channels))
        return Access(view.buffer, dtype, view=whole, size=step.in_size, last=last)
    last = {
        StepKind.CONV: step.input_planes * step.groups * step.words,
        StepKind.DEPTHWISE: step.input_planes * words_of(step.in_channels),
        StepKind.CONV_FLOAT: step.groups * step.in_channels,
        StepKind.DEPTHWISE_FLOAT: step.in_channels,
        StepKind.CONV_CODES: step.groups * step.words,
        StepKind.CONV_LOOKUPS: step.words,
        StepKind.DEPTHWISE_CODES: code_words_of(step.in_channels),
        StepKind.CONV_BF16: step.in_channels,
        StepKind.CONV_PIXELS: step.in_channels,
    }[kind]
    is_words = kind in SUMS_OF_INTEGERS
    return Access(
        view.buffer,
        _WORD if is_words else _HALF if kind in HALF_CONVS else _FLOAT,
        view=view,
        size=step.size,
        last=last,
        kernel=step.kernel,
        tap=step.tap,
    )


def _of_epilogue(
    step: KernelStep, op: EpilogueOp, position: int, gathered: bool
) -> Access:
    is_bits = op.kind in PACKS or op.kind == EpilogueKind.THRESHOLD
    is_words = is_bits or op.kind in CODES
    dtype = _WORD if is_words else _HALF if op.kind in HALF_PACKS else _FLOAT
    last, planes = step.channels, {}
    if is_bits:
        # Planes may lie further apart than their words, which are then parts of wider ones.
        group = op.group or step.channels
        last = step.channels // group * words_of(group)
        planes = {"kernel": (op.planes, 1, 1), "tap": (op.words, 0, 0)}
    if op.kind in CODES:
        last = op.words
    if op.kind == EpilogueKind.ADD_SCALED:
        last = 1
    if op.kind == EpilogueKind.STORE_INT:
        dtype = _WORD if step.kind == StepKind.MOVE_BITS else _INT
    return Access(
        op.view.buffer,
        dtype,
        writes=op.kind not in READS_VIEW,
        position=position,
        view=op.view,
        size=op.written(step.size),
        last=last,
        is_by_row=not gathered and op.pool is None,
        **planes,
    )


def points_of(
    program: Program, stages: Iterable[ExecutionStage]
) -> Iterator[tuple[str, list[Access]]]:
    """The program points in order: what runs, and its accesses.

    A step is one, and so is a segment.
    """
    for stage in stages:
        if stage.part is None:
            found = [
                Access(port.buffer, program.buffers[port.buffer].dtype, writes)
                for writes, ports in ((False, stage.inputs), (True, stage.outputs))
                for port in ports
            ]
            yield ", ".join(node.name for node in stage.nodes), found
        else:
            for step in program.parts[stage.part]:
                yield (
                    step.label,
                    [
                        access
                        for access in accesses_of(step)
                        if program.buffers[access.buffer].constant is None
                    ],
                )


def live_ranges_of(
    program: Program, stages: Iterable[ExecutionStage], outputs: Iterable[int]
) -> dict[int, tuple[int, int]]:
    """The first and the last point at which each buffer that is no constant is in use.

    Args:
        program, stages: of a plan.
        outputs: buffers that are read at the point after the last one.
    """
    found: dict[int, tuple[int, int]] = {}
    point = 0
    for point, (_, accesses) in enumerate(points_of(program, stages), 1):
        for access in accesses:
            first, _ = found.get(access.buffer, (point, point))
            found[access.buffer] = first, point
    for buffer in outputs:
        first, _ = found.get(buffer, (point + 1, point + 1))
        found[buffer] = first, point + 1
    return dict(sorted(found.items()))


def lower_bound(
    program: Program,
    stages: Iterable[ExecutionStage],
    live: dict[int, tuple[int, int]],
) -> int:
    """The largest sum of bytes that are live at one point; no arena can be smaller.

    A buffer that takes the place of one that is read for the last time at the same point
    counts once with that. Buffers that hold something before the first call (borders) are
    live all the time, if that is kept; those of one content count as often as they are in use
    together.
    """
    buffers = program.buffers
    keeps = program.keeps_borders
    live = {
        number: span for number, span in live.items() if not buffers[number].external
    }
    pinned: dict[tuple, list[int]] = {}
    for number in live:
        if keeps and buffers[number].initial is not None:
            pinned.setdefault(content_of(buffers[number]), []).append(number)
    always = sum(
        buffers[same[0]].bytes * max(_together([live[number] for number in same]))
        for same in pinned.values()
    )
    most = 0
    for point, (_, accesses) in enumerate(points_of(program, stages), 1):
        here = [
            number
            for number, (first, last) in live.items()
            if first <= point <= last
            and not (keeps and buffers[number].initial is not None)
        ]
        saved = sum(
            buffers[new].bytes for new in _replacing(accesses, live, buffers, point)
        )
        most = max(most, sum(buffers[number].bytes for number in here) - saved)
    return always + most


def content_of(buffer: Buffer) -> tuple:
    """What tells which buffers hold the same before the first call."""
    return str(buffer.dtype), buffer.count, buffer.initial.tobytes()


def _together(ranges: list[tuple[int, int]]) -> list[int]:
    return [
        sum(first <= begin <= last for first, last in ranges) for begin, _ in ranges
    ]


def _replacing(
    accesses: list[Access],
    live: dict[int, tuple[int, int]],
    buffers: list[Buffer],
    point: int,
) -> set[int]:
    """Buffers first written here, element by element where another is last read."""
    free = {
        access.buffer: access
        for access in accesses
        if not access.writes
        and access.is_by_row
        and live.get(access.buffer, (0, 0))[1] == point
    }
    found = set()
    for access in accesses:
        if not access.writes or live.get(access.buffer, (0, 0))[0] != point:
            continue
        for number, read in free.items():
            if (
                access.buffer not in found
                and buffers[number].bytes == buffers[access.buffer].bytes
                and buffers[number].initial is None
                and buffers[access.buffer].initial is None
            ):
                found.add(access.buffer)
                del free[read.buffer]
                break
    return found
