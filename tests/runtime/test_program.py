"""Programs as C structures, and the library that runs them."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from larqlite_runtime._errors import NativeError
from larqlite_runtime._program import (
    Buffer,
    EpilogueKind,
    EpilogueOp,
    Program,
    StepKind,
    TensorView,
    strides,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import (
    ABI,
    CBuffer,
    COp,
    CStep,
    CView,
    c_steps,
)
from tests.runtime.steps import random_case

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "native" / "program.h").read_text()
C_TYPES = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
    "lq_view": CView,
}
needs_native = pytest.mark.skipif(
    _native.library() is None, reason="no compiler: no native kernels"
)


def fields_in_header(name):
    """Type and name of each field of a structure, as the header declares them."""
    [body] = re.findall(r"typedef struct \{([^}]*)\} " + name + ";", HEADER)
    body = re.sub(r"//[^\n]*", "", body)
    found = []
    for line in body.split(";"):
        words = line.replace("const ", "").split(None, 1)
        if words:
            found += [(words[0], item.strip()) for item in words[1].split(",")]
    return found


@pytest.mark.parametrize(
    ("name", "structure"),
    [("lq_view", CView), ("lq_op", COp), ("lq_step", CStep), ("lq_buffer", CBuffer)],
)
def test_structures_are_those_of_the_header(name, structure):
    wanted = fields_in_header(name)
    found = structure._fields_
    assert [field for field, _ in found] == [field.lstrip("*") for _, field in wanted]
    for (field, kind), (word, _) in zip(found, wanted, strict=True):
        if field not in ("ops", "data"):  # pointers
            assert kind is C_TYPES[word], field


def test_numbers_are_those_of_the_header():
    numbers = dict(re.findall(r"LQ_(\w+) = (\d+)", HEADER))
    for item in (*StepKind, *EpilogueKind):
        assert int(numbers.pop(item.name)) == item
    assert not numbers
    assert f"#define LQ_ABI {ABI}" in HEADER


@needs_native
def test_instruction_sets_are_those_of_the_header():
    [line] = re.findall(r"Instruction sets: ([^.]*)\.", HEADER)
    for name, number in _native.INSTRUCTION_SETS.items():
        assert re.search(rf"{number} {name[:3]}", line.replace("-", ""), re.IGNORECASE)


def test_a_step_keeps_all_its_fields():
    case = random_case(7, StepKind.CONV)
    [found] = c_steps([case.step])
    step = case.step
    assert (found.depth, found.height, found.width) == step.size
    assert (found.kernel_d, found.kernel_h, found.kernel_w) == step.kernel
    assert (found.tap_depth, found.tap_row, found.tap_pixel) == step.tap
    for name in ("kind", "channels", "groups", "words", "shift", "weights", "base"):
        assert getattr(found, name) == getattr(step, name)
    assert found.input.row == step.input.row
    assert [found.ops[n].kind for n in range(found.op_count)] == [
        op.kind for op in step.ops
    ]


@needs_native
def test_a_step_that_would_leave_its_memory_is_refused():
    case = random_case(0, StepKind.LOAD)
    case.buffers[case.step.input.buffer] = np.zeros(1, np.float32)
    memory = (CBuffer * len(case.buffers))(
        *(CBuffer(buffer.ctypes.data, buffer.nbytes) for buffer in case.buffers)
    )
    part = _native.Part([replace(case.step, nodes=("conv_3",))])
    with pytest.raises(NativeError, match='"conv_3" does not fit its memory'):
        part.bind(memory, case.batch, 1, "portable")


@needs_native
@pytest.mark.parametrize(("field", "value"), [(0, 9), (1, 9), (2, 32), (None, 0)])
def test_moves_of_bits_from_behind_a_pixel_are_refused(field, value):
    """The word that a move begins in, the next one, and the place in it."""
    case = next(
        case
        for seed in range(100)
        for case in [random_case(seed, StepKind.MOVE_BITS)]
        if case.step.weights >= 0 and case.step.words < 9
    )
    step = replace(case.step, nodes=("shuffle",))

    def bind(step):
        memory = (CBuffer * len(case.buffers))(
            *(CBuffer(buffer.ctypes.data, buffer.nbytes) for buffer in case.buffers)
        )
        _native.Part([step]).bind(memory, case.batch, 1, "portable")

    bind(step)
    if field is None:
        step = replace(step, words=1 << 21)
    else:
        table = case.buffers[step.weights].reshape(step.multiplier, 9, step.channels)
        table[-1, field, -1] = value
    with pytest.raises(NativeError, match='"shuffle" does not fit its memory'):
        bind(step)


def test_equal_constants_are_held_once():
    program = Program()
    first = program.constant(np.ones(4, np.float32))
    assert program.constant(np.ones((2, 2), np.float32)) == first
    assert program.constant(np.ones(4, np.int32)) != first
    assert program.constant(np.zeros(4, np.float32)) != first
    assert Buffer(np.dtype(np.float32), 4).bytes == 16


def test_views_move_and_skip():
    view = TensorView(3, 5, 100, 50, 10, 2)
    assert view.moved(4).offset == 9
    assert view.every(1, 2, 3) == TensorView(3, 5, 100, 50, 20, 6)
    assert strides((2, 3, 4)) == [12, 4, 1]
    assert EpilogueOp(EpilogueKind.RELU).view.buffer == -1
