"""Whether a plan is sound: what its steps touch is there, theirs, and not yet written over.

`plan(..., checked=True)` runs it after every pass that yields a program; tests do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import (
    ALIGNMENT,
    CODE_SUMS,
    CODES,
    HALF_CONVS,
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
    MAKES_INTEGERS,
    MOVE_FIELDS,
    NOWHERE,
    PACKS,
    POOLS,
    POPCOUNTS,
    Buffer,
    EpilogueKind,
    KernelStep,
    Program,
    StepKind,
)
from larqlite_runtime.format import code_words_of, words_of
from larqlite_runtime.planner._accesses import (
    Access,
    content_of,
    live_ranges_of,
    lower_bound,
    points_of,
)
from larqlite_runtime.planner._execution_plan import ExecutionPlan
from larqlite_runtime.planner._lower import LoweredPlan

_INTEGERS = (EpilogueKind.STORE_INT, EpilogueKind.THRESHOLD)
_PER_CHANNEL = (
    EpilogueKind.MULTIPLY,
    EpilogueKind.DIVIDE,
    EpilogueKind.ADD,
    EpilogueKind.ADD_SCALED,
    EpilogueKind.PRELU,
)


class BrokenPlanError(AssertionError):
    """A plan that would read or write what it must not; a defect of the planner."""


def check(plan: LoweredPlan | ExecutionPlan) -> None:
    """Checks a plan; one whose buffers have offsets yet, those too.

    1. Buffers: constants are there and as large as they say; offsets are aligned and
       within the arena.
    2. Steps: dtypes, sizes, strides, weights and tables are those that the kind of the
       step needs, every operand lies in its buffer, integers become floats once.
    3. Order: two calls are played through, element by element. What is read was written
       by whom it belongs to; what one step writes over is read by it before, row by row.
    4. The arena is no smaller than its lower bound.

    Raises:
        BrokenPlanError: one of these does not hold.
    """
    program, is_arranged = plan.program, isinstance(plan, ExecutionPlan)
    for number, buffer in enumerate(program.buffers):
        _check_buffer(number, buffer, program.arena if is_arranged else None)
    for part in program.parts:
        for step in part:
            _check_step(step, program)
    _require(
        [stage.part for stage in plan.stages if stage.part is not None]
        == list(range(len(program.parts))),
        "its stages do not run each part once, in order",
    )
    _play(plan, is_arranged)
    if is_arranged:
        outputs = [output.port.buffer for output in plan.outputs.values()]
        live = live_ranges_of(program, plan.stages, outputs)
        least = lower_bound(program, plan.stages, live)
        _require(
            program.arena >= least,
            f"its arena has {program.arena} bytes, but {least} are in use at once",
        )


def _require(is_right: bool, why: str) -> None:
    if not is_right:
        raise BrokenPlanError(f"the plan is broken: {why}.")


def _check_buffer(number: int, buffer: Buffer, arena: int | None) -> None:
    what = f"buffer {number}"
    _require(buffer.count > 0, f"{what} is empty")
    if buffer.constant is not None:
        known = buffer.constant
        _require(
            known.size == buffer.count and known.dtype == buffer.dtype,
            f"{what} is said to hold {buffer.count} {buffer.dtype}, but its constant is "
            f"{known.size} {known.dtype}",
        )
    elif arena is not None and not buffer.external:
        _require(
            buffer.offset % ALIGNMENT == 0
            and buffer.offset >= 0
            and buffer.offset + buffer.bytes <= arena,
            f"{what}, {buffer.bytes} bytes at {buffer.offset}, does not lie in the arena "
            f"of {arena}",
        )


# Steps.


def _check_step(step: KernelStep, program: Program) -> None:
    where = f'step "{step.label}" ({step.kind.name})'
    _require(min(*step.size, step.channels, step.taps) > 0, f"{where} is empty")
    if step.kind in POPCOUNTS:
        _check_sums_of_bits(step, program, where)
    elif step.kind in CODE_SUMS:
        _check_sums_of_codes(step, program, where)
    elif step.kind == StepKind.CONV_FLOAT:
        blocks = -(-step.channels // LANES)
        count = blocks * step.taps * step.in_channels * LANES
        _check_constant(program, step.weights, np.float32, count, f"{where}: weights")
    elif step.kind in HALF_CONVS:
        _check_halves(step, program, where)
    elif step.kind in POOLS:
        _check_pool(step, where)
    elif step.kind == StepKind.MOVE_BITS:
        _check_pool(step, where)
        _check_moves(step, program, where)
    else:
        _require(step.taps == 1, f"{where} has a window")
        if step.kind == StepKind.MEAN:
            _require(step.size == (1, 1, 1), f"{where} has more than one pixel")
    _check_epilogues(step, program, where)


def _check_sums_of_bits(step: KernelStep, program: Program, where: str) -> None:
    _require(min(step.input_planes, step.weight_planes) > 0, f"{where} has no planes")
    planes = step.weight_planes * step.taps
    if step.kind == StepKind.DEPTHWISE:
        _require(
            step.channels == step.in_channels * step.multiplier,
            f"{where}: {step.channels} channels come out of {step.in_channels}",
        )
        count = step.multiplier * planes * words_of(step.in_channels)
    else:
        _require(
            step.groups > 0 and step.channels % step.groups == 0,
            f"{where}: {step.channels} channels in {step.groups} groups",
        )
        blocks = -(-step.channels // step.groups // LANES)
        count = step.groups * blocks * planes * step.words * LANES
    _check_constant(program, step.weights, np.uint32, count, f"{where}: weights")
    _check_starts(step, program, where)


def _check_sums_of_codes(step: KernelStep, program: Program, where: str) -> None:
    bits, each = step.weight_bits, step.channels // max(1, step.groups)
    if step.kind == StepKind.DEPTHWISE_CODES:
        is_right = step.channels == step.in_channels * step.multiplier
        dtype, count = np.int32, step.channels * step.taps
    elif step.kind == StepKind.CONV_LOOKUPS:
        is_right = (step.groups, bits) == (1, 1)
        vectors = -(-4 * step.words // LOOKUP_BYTES)
        blocks = -(-step.channels // LOOKUP_LANES)
        dtype, count = np.uint16, blocks * step.taps * vectors * LOOKUP_LANES
    else:
        is_right = step.groups > 0 == step.channels % step.groups and bits in (
            1,
            2,
            4,
            8,
        )
        vectors = -(-step.words * bits // 8)
        dtype = np.uint32
        count = step.groups * -(-each // LANES) * step.taps * vectors * LANES
    _require(
        is_right,
        f"{where}: {step.channels} channels come out of {step.in_channels} in "
        f"{step.groups} groups, by weights of {bits} bits",
    )
    _check_constant(program, step.weights, dtype, count, f"{where}: weights")
    _check_starts(step, program, where)


def _check_halves(step: KernelStep, program: Program, where: str) -> None:
    blocks, runs = -(-step.channels // LANES), step.runs
    count = blocks * runs.count * runs.pairs * LANES * 2
    _check_constant(program, step.weights, np.uint16, count, f"{where}: weights")
    if step.kind == StepKind.CONV_PIXELS:
        _require(not step.shift, f"{where} is shifted")
        _check_starts(step, program, where)


def _check_starts(step: KernelStep, program: Program, where: str) -> None:
    depth, height, width = step.size
    starts = _constant(program, step.base, np.int32, f"{where}: starts of sums")
    rows, left = divmod(len(starts), step.column_classes * step.channels)
    _require(rows > 0 and not left, f"{where}: {len(starts)} starts of sums")
    if step.inside_base != NOWHERE:
        _check_constant(
            program,
            step.inside_base,
            np.int32,
            len(starts),
            f"{where}: starts of sums of taps inside",
        )
    for number, positions, classes, axis in (
        (step.row_class, depth * height, rows, "row"),
        (step.column_class, width, step.column_classes, "column"),
    ):
        if number == NOWHERE:
            _require(classes == 1, f"{where}: {classes} classes of no {axis}")
            continue
        found = _check_constant(
            program, number, np.int32, positions, f"{where}: {axis} classes"
        )
        _require(
            found.min() >= 0 and found.max() < classes,
            f"{where}: a {axis} has a class beyond {classes}",
        )


def _check_pool(step: KernelStep, where: str) -> None:
    strides = step.input.depth, step.input.row, step.input.pixel
    for axis in range(3):
        pixel, left = divmod(step.tap[axis], step.dilation[axis])
        _require(
            not left and strides[axis] == pixel * step.stride[axis],
            f"{where}: taps {step.tap} and strides {strides} do not agree",
        )
        last = (step.size[axis] - 1) * step.stride[axis] - step.pad[axis]
        _require(
            last < step.in_size[axis],
            f"{where}: a window begins behind its input of {step.in_size}",
        )


def _check_moves(step: KernelStep, program: Program, where: str) -> None:
    _require(
        all(op.kind == EpilogueKind.STORE_INT for op in step.ops),
        f"{where} does more than store words",
    )
    if step.base != NOWHERE:
        _check_constant(
            program, step.base, np.uint32, step.words, f"{where}: turned bits"
        )
    if step.weights == NOWHERE:
        _require(
            step.channels == step.words,
            f"{where}: {step.channels} words come out of {step.words}",
        )
        return
    count = step.multiplier * MOVE_FIELDS * step.channels
    found = _check_constant(program, step.weights, np.uint32, count, f"{where}: moves")
    word, after, shift = found.reshape(-1, MOVE_FIELDS, step.channels)[:, :3].swapaxes(
        0, 1
    )
    _require(
        max(word.max(), after.max()) < step.words and shift.max() < 32,
        f"{where}: a move begins behind the {step.words} words of a pixel",
    )


def _check_epilogues(step: KernelStep, program: Program, where: str) -> None:
    is_float = step.kind not in MAKES_INTEGERS
    for op in step.ops:
        what = f"{where}: {op.kind.name}"
        _require(
            (op.kind in (*_INTEGERS, EpilogueKind.TO_FLOAT)) != is_float,
            f"{what} of {'floats' if is_float else 'integers'}",
        )
        is_float = is_float or op.kind == EpilogueKind.TO_FLOAT
        if op.kind in _PER_CHANNEL:
            _check_constant(program, op.a, np.float32, step.channels, what)
        elif op.kind in (EpilogueKind.THRESHOLD, EpilogueKind.PACK_RANGE):
            dtype = np.int32 if op.kind == EpilogueKind.THRESHOLD else np.float32
            for number in (op.a, op.b):
                _check_constant(program, number, dtype, step.channels, what)
        elif op.kind == EpilogueKind.MULTIPLY_IMAGE:
            _require(
                op.a != NOWHERE and program.buffers[op.a].count == step.channels,
                f"{what} has no value for each of {step.channels} channels",
            )
        if op.kind in PACKS or op.kind == EpilogueKind.THRESHOLD:
            group = op.group or step.channels
            words = step.channels // group * words_of(group)
            _require(
                op.planes > 0
                and step.channels % group == 0
                and (op.words == words or (op.words > words and op.planes > 1)),
                f"{what}: {op.words} words of {step.channels} channels",
            )
        elif op.kind in CODES:
            group = op.group or step.channels
            words = step.channels // group * code_words_of(group)
            _require(
                1 <= op.planes <= 8
                and step.channels % group == 0
                and op.words == words,
                f"{what}: {op.words} words of {step.channels} channels",
            )


def _constant(program: Program, number: int, dtype: type, what: str) -> np.ndarray:
    _require(0 <= number < len(program.buffers), f"{what}: there is no buffer {number}")
    array = program.buffers[number].constant
    _require(array is not None, f"{what}: buffer {number} is no constant")
    _require(array.dtype == dtype, f"{what}: buffer {number} is {array.dtype}")
    return array.reshape(-1)


def _check_constant(
    program: Program, number: int, dtype: type, count: int, what: str
) -> np.ndarray:
    array = _constant(program, number, dtype, what)
    _require(len(array) == count, f"{what}: {len(array)} values, not {count}")
    return array


# Order.

_NOBODY = -1


@dataclass
class _Memory:
    """Who wrote each byte last: the number of a buffer; below `_NOBODY` what was there
    before the first call.

    Attributes:
        arena: of the buffers of the arena, or one after another if they have no offsets.
        begins: where each buffer begins in it.
        initial: what the bytes of a buffer count as before it is written.
    """

    buffers: list[Buffer]
    arena: np.ndarray
    begins: dict[int, int]
    initial: dict[int, int]

    @classmethod
    def of(cls, program: Program, is_arranged: bool) -> _Memory:
        buffers, end = program.buffers, program.arena if is_arranged else 0
        begins = {}
        for number, buffer in enumerate(buffers):
            if buffer.constant is not None:
                continue
            if is_arranged and not buffer.external:
                begins[number] = buffer.offset
            else:
                begins[number], end = end, end + buffer.bytes
        memory = cls(buffers, np.full(end, _NOBODY, np.int64), begins, {})
        contents: dict[tuple, int] = {}
        for number in begins:
            if buffers[number].initial is None:
                continue
            code = contents.setdefault(content_of(buffers[number]), -2 - len(contents))
            memory.initial[number] = code
            own = memory.bytes_of(number, np.arange(buffers[number].count))
            _require(
                bool(np.isin(memory.arena[own], (_NOBODY, code)).all()),
                f"buffer {number} lies over another that holds something else",
            )
            memory.arena[own] = code
        return memory

    def bytes_of(self, number: int, elements: np.ndarray) -> np.ndarray:
        size = self.buffers[number].dtype.itemsize
        return (
            self.begins[number] + elements[:, None] * size + np.arange(size)
        ).reshape(-1)

    def read(self, number: int, where: np.ndarray, what: str) -> None:
        known = (number, self.initial.get(number, number))
        wrong = self.arena[where][~np.isin(self.arena[where], known)]
        if len(wrong):
            other = int(wrong[0])
            _require(
                False,
                f"{what} reads buffer {number}, which "
                + (
                    "nobody has written"
                    if other == _NOBODY
                    else f"buffer {other} has written over"
                ),
            )


def _play(plan: LoweredPlan | ExecutionPlan, is_arranged: bool) -> None:
    """Plays two calls through: the second finds what the first has left."""
    program = plan.program
    memory = _Memory.of(program, is_arranged)
    points = [
        (f'"{label}"', _touched(accesses, memory, label))
        for label, accesses in points_of(program, plan.stages)
    ]
    for _ in range(2):
        for port in plan.inputs:
            whole = np.arange(program.buffers[port.buffer].count)
            memory.arena[memory.bytes_of(port.buffer, whole)] = port.buffer
        for label, touched in points:
            for access, where in touched:
                if not access.writes:
                    memory.read(access.buffer, where, label)
            for access, where in touched:
                if access.writes:
                    memory.arena[where] = access.buffer
        for name, output in plan.outputs.items():
            number = output.port.buffer
            elements = np.arange(program.buffers[number].count)
            if not output.slice.is_contiguous:
                channel = elements % output.slice.pixel - output.slice.first
                elements = elements[(channel >= 0) & (channel < output.slice.channels)]
            memory.read(number, memory.bytes_of(number, elements), f'output "{name}"')


def _touched(
    accesses: Sequence[Access], memory: _Memory, label: str
) -> list[tuple[Access, np.ndarray]]:
    """The bytes of each access; what one point writes spoils nothing that it reads."""
    found = []
    for access in accesses:
        _check_access(access, memory, f'"{label}"')
        elements = access.elements(memory.buffers)
        count = memory.buffers[access.buffer].count
        _require(
            len(elements) > 0 and elements.min() >= 0 and elements.max() < count,
            f'"{label}" touches elements {elements.min()} to {elements.max()} of buffer '
            f"{access.buffer}, which has {count}",
        )
        found.append((access, memory.bytes_of(access.buffer, elements)))
    written = [where for access, where in found if access.writes]
    everything = np.concatenate([np.zeros(0, np.int64), *written])
    _require(
        len(np.unique(everything)) == len(everything),
        f'"{label}" writes an element twice',
    )
    for write, target in found:
        for read, source in found:
            if write.writes and not read.writes and np.isin(target, source).any():
                _require(
                    _follows(write, read, memory),
                    f'"{label}" writes buffer {write.buffer} over buffer {read.buffer} '
                    "before that is read",
                )
    return found


def _check_access(access: Access, memory: _Memory, what: str) -> None:
    _require(
        access.buffer in memory.begins,
        f"{what} takes buffer {access.buffer} for memory, which is a constant or nothing",
    )
    buffer = memory.buffers[access.buffer]
    _require(
        buffer.dtype == access.dtype,
        f"{what} takes buffer {access.buffer} for {access.dtype}, but it is {buffer.dtype}",
    )
    _require(
        not (access.writes and buffer.external),
        f"{what} writes buffer {access.buffer}, which is the caller's",
    )
    _require(
        access.view is None or access.view.image == buffer.count,
        f"{what} takes buffer {access.buffer} for images of another size",
    )


def _follows(write: Access, read: Access, memory: _Memory) -> bool:
    """Whether each element is written where it was read before, by the same row."""
    if not (write.is_by_row and read.is_by_row) or read.position > write.position:
        return False
    begins = [
        memory.begins[access.buffer]
        + access.view.offset * memory.buffers[access.buffer].dtype.itemsize
        for access in (write, read)
    ]
    strides = [
        (access.view.image, access.view.depth, access.view.row, access.view.pixel)
        for access in (write, read)
    ]
    return begins[0] == begins[1] and strides[0] == strides[1]
