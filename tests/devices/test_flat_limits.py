"""Files of people who are not trusted: what loading takes, and what limits bound."""

from __future__ import annotations

import ctypes
import time

import numpy as np
import pytest

from larqlite.deploy.targets.flat import _layout as layout
from larqlite_runtime.internal import EpilogueKind, StepKind
from tests.devices.c_library import (
    DAMAGED,
    NO_MEMORY,
    OK,
    TOO_LARGE,
    CModel,
    needs_compiler,
    needs_kernels,
)
from tests.devices.flat_records import FLOAT32, flat_file, records, tensors
from tests.devices.flat_steps import flat_of_step
from tests.runtime.steps import Case, random_case

pytestmark = [needs_compiler, needs_kernels]
UINT8 = layout.TYPES[np.dtype(np.uint8)]
# One value goes in, one comes out; nothing is computed.
INPUT = records("buffer", type=FLOAT32, role=layout.INPUT, count=1)
MEMORY = records("buffer", type=FLOAT32, role=layout.MEMORY, count=1)


def small(*more: np.ndarray, **parts) -> bytes:
    """A file of one input, one output, more buffers, and other parts of `flat_file`."""
    buffers = np.concatenate([INPUT, MEMORY, *more])
    return flat_file(tensors([0], 1), tensors([1], 1), buffers, **parts)


def sums_over_rows(count: int, rows: int) -> bytes:
    """Convolutions that all look at one table of the classes of their rows."""
    table = records(
        "buffer", type=layout.TYPES[np.dtype(np.int32)], role=layout.CONSTANT
    )
    table["count"], table["at"] = rows, -1
    planes = {"input_planes": 1, "weight_planes": 1, "words": 1}
    tables = {"weights": 2, "base": 2, "row_class": 2}
    conv = records(
        "step",
        count,
        kind=StepKind.CONV,
        height=rows,
        input__buffer=0,
        **tables,
        **planes,
    )
    return small(table, steps=conv, data=bytes(4 * rows))


def loads(count: int, of_op: int = 1) -> bytes:
    """Steps that only pass a value on; each `of_op` have one operation."""
    first = np.arange(count) // of_op
    steps = records(
        "step", count, kind=StepKind.LOAD, input__buffer=0, op_count=1, first_op=first
    )
    ops = records("op", first[-1] + 1, kind=EpilogueKind.RELU)
    return small(steps=steps, ops=ops)


def named(length: int) -> bytes:
    """An input whose name has so many letters."""
    fed = tensors([0], 1)
    fed["name"] = 1
    names = b"\0" + length * b"a" + b"\0"
    buffers = np.concatenate([INPUT, MEMORY])
    return flat_file(fed, tensors([1], 1), buffers, names=names)


def test_nothing_in_a_file_makes_loading_longer_than_the_file():
    """What many records may share is looked at again for each."""
    rows = 1 << 18
    for sound, hostile, message in (
        (
            sums_over_rows(20, rows),
            sums_over_rows(200, rows),
            "looks at tables more often",
        ),
        (loads(2), loads(2, of_op=2), "step 2 of it makes no sense"),
        (named(1023), named(1024), 'input "aaa'),
    ):
        model = CModel(sound)
        assert model.code == OK, model.error
        model = CModel(hostile)
        assert model.code == DAMAGED
        assert message in model.error


def test_calls_take_time_by_the_number_of_outputs():
    """Seconds for 65,536 of them, where each one looked at all the others."""
    count, values = 1 << 16, 4
    memory = np.repeat(MEMORY, count)
    memory["count"] = values
    buffers = np.concatenate([INPUT, memory])
    outputs = tensors(1 + np.arange(count), values)
    outputs["buffer"][::2] = 1  # some share one, and are copied
    model = CModel(flat_file(tensors([0], 1), outputs, buffers))
    assert model.code == OK, model.error
    found = np.ones((count, 3, values), np.float32)
    places = found.ctypes.data + found.strides[0] * np.arange(count, dtype=np.uint64)
    fed = (ctypes.c_void_p * 1)(found.ctypes.data)
    begin = time.process_time()
    assert model.call("lq_reserve", 2) == OK
    assert model.call("lq_run_model", 3, fed, ctypes.c_void_p(places.ctypes.data)) == OK
    assert time.process_time() - begin < 1
    assert (found[::2] == 0).all()


def test_limits_count_what_is_done_before_anything_is_computed():
    """Steps that are prepared, and memory that is filled over and over."""
    filled = records(
        "buffer", 1000, type=FLOAT32, count=1 << 18, initial_at=-1, initial_count=1
    )
    for data, seconds in (
        (loads(4000), 1e-3),
        (small(filled, arena=1 << 20, data=bytes(4)), 5e-2),
    ):
        model = CModel(data)
        assert model.code == OK, model.error
        assert model.call("lq_set_limits", 1 << 30, seconds) == OK
        assert model.call("lq_reserve", 1) == TOO_LARGE
        assert "would take longer for an image" in model.error
        assert model.call("lq_set_limits", 1 << 30, 10.0) == OK
        assert model.call("lq_reserve", 1) == OK, model.error


def test_a_model_has_after_an_error_what_it_had():
    """Where there is no memory, or a limit is reached; and what it has stays within limits."""
    memory = MEMORY.copy()
    memory["count"] = values = 1 << 16
    # Two outputs that share memory are copied, out of that of a batch.
    outputs = tensors([1, 1], values)
    outputs["name"] = 0, 1
    buffers = np.concatenate([INPUT, memory])
    parts = {"arena": 4 * values, "names": b"\0other\0"}
    model = CModel(flat_file(tensors([0], 1), outputs, buffers, **parts))
    assert model.code == OK, model.error
    assert model.call("lq_set_limits", 1 << 62, 600.0) == OK
    assert model.call("lq_reserve", 2) == OK
    used = model.call("lq_memory")
    assert used >= 2 * 4 * values
    assert model.call("lq_reserve", 2**31 - 1) == NO_MEMORY
    assert "not enough memory for a batch of 2147483647" in model.error
    assert model.call("lq_memory") == used
    assert model.call("lq_set_limits", used, 600.0) == OK
    assert model.call("lq_reserve", 2) == OK
    assert model.call("lq_reserve", 1000) == TOO_LARGE
    assert model.call("lq_memory") == used
    found = model.run({"": np.ones((2, 1))}, 2)
    assert (found[""] == 0).all()
    assert (found["other"] == 0).all()
    # What is left of a larger batch makes room.
    for limit, batch in ((1 << 30, 9), (12 * 4 * values, 1), (12 * 4 * values, 6)):
        assert model.call("lq_set_limits", limit, 600.0) == OK
        assert model.call("lq_reserve", batch) == OK, model.error
        assert model.call("lq_memory") <= limit


@pytest.mark.parametrize("is_output", [False, True])
def test_memory_of_callers_is_read_and_written_as_what_it_holds(is_output):
    """Bytes begin anywhere: no step takes them for words."""
    for type_, code in ((FLOAT32, OK), (UINT8, DAMAGED)):
        types = (FLOAT32, type_) if is_output else (type_, FLOAT32)
        counts = [4 if each == FLOAT32 else 16 for each in types]
        buffers = np.concatenate([INPUT, MEMORY])
        buffers["type"], buffers["count"] = types, counts
        steps = records(
            "step", kind=StepKind.LOAD, input__buffer=0, op_count=1, channels=4
        )
        ops = records("op", kind=EpilogueKind.STORE, view__buffer=1)
        fed, made = (
            tensors([number], counts[number], types[number]) for number in (0, 1)
        )
        model = CModel(flat_file(fed, made, buffers, steps, ops))
        assert model.code == code, model.error
        assert code == OK or "step 1 of it makes no sense" in model.error


@pytest.mark.parametrize("kind", [StepKind.CONV_BYTES, StepKind.CONV_PIXELS])
def test_numbers_of_one_and_two_bytes_are_read_where_they_begin(kind):
    """At no multiple of more than their size."""
    case = random_case(3, kind)
    data, inputs, _ = flat_of_step(Case(case.step, case.buffers, 1))
    model = CModel(data)
    assert model.code == OK, model.error
    wanted = model.run(inputs, 1)
    moved = {}
    for name, array in inputs.items():
        room = np.zeros(array.size + 64, array.dtype)
        begin = (-room.ctypes.data % 64) // array.itemsize + 1
        moved[name] = room[begin : begin + array.size]
        moved[name][:] = array
    found = model.run(moved, 1)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name].view(np.uint8), array.view(np.uint8))
