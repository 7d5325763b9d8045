"""Whether a plan is sound: what its steps touch is there, theirs, and not yet written over.

`plan(..., checked=True)` runs it after every pass that yields a program; tests do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import (
    CODE_SUMS,
    CODES,
    GATHERS,
    HALF_CONVS,
    MAKES_INTEGERS,
    MOVE_FIELDS,
    NOWHERE,
    PACKS,
    POOLS,
    POPCOUNTS,
    Buffer,
    EpilogueKind,
    EpilogueOp,
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
from larqlite_runtime.planner._check_sums import (
    check_constant,
    check_halves,
    check_sums_of_bits,
    check_sums_of_bytes,
    check_sums_of_codes,
    check_sums_of_floats,
    require,
)
from larqlite_runtime.planner._execution_plan import ExecutionPlan
from larqlite_runtime.planner._lower import LoweredPlan

_INTEGERS = (EpilogueKind.STORE_INT, EpilogueKind.THRESHOLD, EpilogueKind.SUM)
_PER_CHANNEL = (
    EpilogueKind.MULTIPLY,
    EpilogueKind.DIVIDE,
    EpilogueKind.ADD,
    EpilogueKind.ADD_SCALED,
    EpilogueKind.PRELU,
)


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
        _check_buffer(
            number, buffer, program.arena if is_arranged else None, program.alignment
        )
    for part in program.parts:
        for step in part:
            _check_step(step, program)
    require(
        [stage.part for stage in plan.stages if stage.part is not None]
        == list(range(len(program.parts))),
        "its stages do not run each part once, in order",
    )
    _play(plan, is_arranged)
    if is_arranged:
        outputs = [output.port.buffer for output in plan.outputs.values()]
        live = live_ranges_of(program, plan.stages, outputs)
        least = lower_bound(program, plan.stages, live)
        require(
            program.arena >= least,
            f"its arena has {program.arena} bytes, but {least} are in use at once",
        )


def _check_buffer(
    number: int, buffer: Buffer, arena: int | None, alignment: int
) -> None:
    what = f"buffer {number}"
    require(buffer.count > 0, f"{what} is empty")
    if buffer.constant is not None:
        known = buffer.constant
        require(
            known.size == buffer.count and known.dtype == buffer.dtype,
            f"{what} is said to hold {buffer.count} {buffer.dtype}, but its constant is "
            f"{known.size} {known.dtype}",
        )
    elif arena is not None and not buffer.external:
        require(
            buffer.offset % alignment == 0
            and buffer.offset >= 0
            and buffer.offset + buffer.bytes <= arena,
            f"{what}, {buffer.bytes} bytes at {buffer.offset}, does not lie in the arena "
            f"of {arena}",
        )


# Steps.


def _check_step(step: KernelStep, program: Program) -> None:
    where = f'step "{step.label}" ({step.kind.name})'
    require(min(*step.size, step.channels, step.taps) > 0, f"{where} is empty")
    if step.kind in POPCOUNTS:
        check_sums_of_bits(step, program, where)
    elif step.kind in CODE_SUMS:
        check_sums_of_codes(step, program, where)
    elif step.kind in (StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT):
        check_sums_of_floats(step, program, where)
    elif step.kind in HALF_CONVS:
        check_halves(step, program, where)
    elif step.kind == StepKind.CONV_BYTES:
        _check_pool(step, where)
        check_sums_of_bytes(step, program, where)
    elif step.kind in POOLS:
        _check_pool(step, where)
    elif step.kind == StepKind.MOVE_BITS:
        _check_pool(step, where)
        _check_moves(step, program, where)
    else:
        require(step.taps == 1, f"{where} has a window")
        if step.kind == StepKind.MEAN:
            require(step.size == (1, 1, 1), f"{where} has more than one pixel")
    _check_epilogues(step, program, where)


def _check_pool(step: KernelStep, where: str) -> None:
    strides = step.input.depth, step.input.row, step.input.pixel
    for axis in range(3):
        pixel, left = divmod(step.tap[axis], step.dilation[axis])
        require(
            not left and strides[axis] == pixel * step.stride[axis],
            f"{where}: taps {step.tap} and strides {strides} do not agree",
        )
        last = (step.size[axis] - 1) * step.stride[axis] - step.pad[axis]
        require(
            last < step.in_size[axis],
            f"{where}: a window begins behind its input of {step.in_size}",
        )


def _check_moves(step: KernelStep, program: Program, where: str) -> None:
    require(
        all(op.kind == EpilogueKind.STORE_INT for op in step.ops),
        f"{where} does more than store words",
    )
    if step.base != NOWHERE:
        check_constant(
            program, step.base, np.uint32, step.words, f"{where}: turned bits"
        )
    if step.weights == NOWHERE:
        require(
            step.channels == step.words,
            f"{where}: {step.channels} words come out of {step.words}",
        )
        return
    count = step.multiplier * MOVE_FIELDS * step.channels
    found = check_constant(program, step.weights, np.uint32, count, f"{where}: moves")
    word, after, shift = found.reshape(-1, MOVE_FIELDS, step.channels)[:, :3].swapaxes(
        0, 1
    )
    require(
        max(word.max(), after.max()) < step.words and shift.max() < 32,
        f"{where}: a move begins behind the {step.words} words of a pixel",
    )


def _check_pooled(
    step: KernelStep, op: EpilogueOp, program: Program, what: str
) -> None:
    require(
        (op.kind in PACKS or op.kind == EpilogueKind.THRESHOLD)
        and (op.planes, op.group) == (1, 0)
        and min(op.pool.window) > 0
        and min(op.written(step.size)) > 0,
        f"{what} has windows of {op.pool.window} in an image of {step.size}",
    )
    if op.pool.turned != NOWHERE:
        words = words_of(step.channels)
        check_constant(
            program, op.pool.turned, np.uint32, words, f"{what}: turned bits"
        )


def _check_epilogues(step: KernelStep, program: Program, where: str) -> None:
    require(
        sum(op.kind in GATHERS for op in step.ops) < 2,
        f"{where} sums over its image twice",
    )
    is_float = step.kind not in MAKES_INTEGERS
    for op in step.ops:
        what = f"{where}: {op.kind.name}"
        require(
            (op.kind in (*_INTEGERS, EpilogueKind.TO_FLOAT)) != is_float,
            f"{what} of {'floats' if is_float else 'integers'}",
        )
        is_float = is_float or op.kind == EpilogueKind.TO_FLOAT
        if op.kind in _PER_CHANNEL:
            check_constant(program, op.a, np.float32, step.channels, what)
        elif op.kind in (EpilogueKind.THRESHOLD, EpilogueKind.PACK_RANGE):
            dtype = np.int32 if op.kind == EpilogueKind.THRESHOLD else np.float32
            for number in (op.a, op.b):
                check_constant(program, number, dtype, step.channels, what)
        elif op.kind == EpilogueKind.PACK_ABOVE:
            check_constant(program, op.a, np.float32, step.channels, what)
            check_constant(program, op.b, np.uint32, words_of(step.channels), what)
        elif op.kind == EpilogueKind.MULTIPLY_IMAGE:
            require(
                op.a != NOWHERE and program.buffers[op.a].count == step.channels,
                f"{what} has no value for each of {step.channels} channels",
            )
        if op.pool is not None:
            _check_pooled(step, op, program, what)
        if op.kind in PACKS or op.kind == EpilogueKind.THRESHOLD:
            group = op.group or step.channels
            words = step.channels // group * words_of(group)
            require(
                op.planes > 0
                and step.channels % group == 0
                and (op.words == words or (op.words > words and op.planes > 1)),
                f"{what}: {op.words} words of {step.channels} channels",
            )
        elif op.kind in CODES:
            group = op.group or step.channels
            words = step.channels // group * code_words_of(group)
            require(
                1 <= op.planes <= 8
                and step.channels % group == 0
                and op.words == words,
                f"{what}: {op.words} words of {step.channels} channels",
            )


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
        keeps: whether they do so from the first call on; else each call fills them.
    """

    buffers: list[Buffer]
    arena: np.ndarray
    begins: dict[int, int]
    initial: dict[int, int]
    keeps: bool = True

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
        memory.keeps = program.keeps_borders
        contents: dict[tuple, int] = {}
        for number in begins:
            if buffers[number].initial is None:
                continue
            code = contents.setdefault(content_of(buffers[number]), -2 - len(contents))
            memory.initial[number] = code
            if not memory.keeps:
                continue
            own = memory.bytes_of(number, np.arange(buffers[number].count))
            require(
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

    def fill(self, numbers: set[int]) -> None:
        """Fills buffers that come into use, if every call does so."""
        for number in numbers & self.initial.keys():
            if not self.keeps:
                whole = np.arange(self.buffers[number].count)
                self.arena[self.bytes_of(number, whole)] = self.initial[number]

    def read(self, number: int, where: np.ndarray, what: str) -> None:
        known = (number, self.initial.get(number, number))
        wrong = self.arena[where][~np.isin(self.arena[where], known)]
        if len(wrong):
            other = int(wrong[0])
            require(
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
        filled: set[int] = set()
        for label, touched in points:
            memory.fill({access.buffer for access, _ in touched} - filled)
            filled |= {access.buffer for access, _ in touched}
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
        require(
            len(elements) > 0 and elements.min() >= 0 and elements.max() < count,
            f'"{label}" touches elements {elements.min()} to {elements.max()} of buffer '
            f"{access.buffer}, which has {count}",
        )
        found.append((access, memory.bytes_of(access.buffer, elements)))
    written = [where for access, where in found if access.writes]
    everything = np.concatenate([np.zeros(0, np.int64), *written])
    require(
        len(np.unique(everything)) == len(everything),
        f'"{label}" writes an element twice',
    )
    for write, target in found:
        for read, source in found:
            if write.writes and not read.writes and np.isin(target, source).any():
                require(
                    _follows(write, read, memory),
                    f'"{label}" writes buffer {write.buffer} over buffer {read.buffer} '
                    "before that is read",
                )
    return found


def _check_access(access: Access, memory: _Memory, what: str) -> None:
    require(
        access.buffer in memory.begins,
        f"{what} takes buffer {access.buffer} for memory, which is a constant or nothing",
    )
    buffer = memory.buffers[access.buffer]
    require(
        buffer.dtype == access.dtype,
        f"{what} takes buffer {access.buffer} for {access.dtype}, but it is {buffer.dtype}",
    )
    require(
        not (access.writes and buffer.external),
        f"{what} writes buffer {access.buffer}, which is the caller's",
    )
    require(
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
