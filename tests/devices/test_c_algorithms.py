"""Every algorithm that sums bits in C, forced on random steps, against the NumPy kernels."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
from larqlite.deploy.targets.c._algorithms import ALGORITHMS
from larqlite.deploy.targets.c._helpers import helpers_text
from larqlite.deploy.targets.c._layer import Layer, Memory
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.backends.numpy import _kernels
from larqlite_runtime.format import pack
from tests.common.programs import needs
from tests.devices.c_steps import c_steps
from tests.devices.compilers import shared
from tests.runtime.steps import Case, random_case

EACH = 8
KEPT = (EpilogueKind.STORE_INT, EpilogueKind.THRESHOLD, EpilogueKind.SUM)
NO_ROOM_FOR_UNDEFINED = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")

pytestmark = needs("gcc")


def random_sums(seed: int, kind: StepKind) -> Case:
    """A step of sums of one image; every second one makes bits only."""
    case = random_case(seed, kind)
    ops = [op for op in case.step.ops if op.kind in KEPT]
    if not ops:
        return random_sums(seed + 1000, kind)
    bits = [op for op in ops if op.kind == EpilogueKind.THRESHOLD]
    step = replace(case.step, ops=tuple(bits if bits and seed % 2 else ops))
    return Case(step, case.buffers, 1)


def test_every_algorithm_makes_the_same_integers_and_bits(tmp_path) -> None:
    cases, names = [], []
    for algorithm in ALGORITHMS:
        for kind in {StepKind.CONV, StepKind.DEPTHWISE} & set(algorithm.kinds):
            cases += [random_sums(3000 + seed, kind) for seed in range(EACH)]
            names += [algorithm.name] * EACH
    # Of every other case the inputs that are +1 are listed, where some are.
    made = c_steps(cases, names, range(1, len(cases) + 1, 2))
    path = tmp_path / "steps.c"
    path.write_text(made.text)
    for name in set(names):  # it was taken, not passed over
        assert f"; {name}." in made.text
    library = shared(path, "gcc", "-O1", *NO_ROOM_FOR_UNDEFINED)
    library.steps_arena.restype = ctypes.POINTER(ctypes.c_uint32)
    arena = np.ctypeslib.as_array(library.steps_arena(), made.arena.shape)
    arena[:] = made.arena
    library.steps_run()
    for name, case, places in zip(names, cases, made.places, strict=True):
        buffers = [array.copy() for array in case.buffers]
        _kernels.run([case.step], buffers, 1)
        for buffer, place in places.items():
            expected = buffers[buffer]
            found = arena[place].view(expected.dtype)
            np.testing.assert_array_equal(found, expected, f"{name}: {case.step}")


_NUMBERS = """
void numbers(const uint32_t *bits, int32_t places, int32_t *to, int32_t count);
void numbers(const uint32_t *bits, int32_t places, int32_t *to, int32_t count) {
  struct place at[32];
  for (int32_t k = 0; k < places; ++k) at[k].bits = bits[k];
  if (places > 16)
    wide_numbers_of(at, places, to, count);
  else
    numbers_of(at, places, to, count);
}
"""


def test_numbers_of_any_places_and_lanes_are_what_their_bits_say(tmp_path) -> None:
    path = tmp_path / "numbers.c"
    helpers = "".join(helpers_text(["wide_numbers_of"]))
    path.write_text(f"#include <stdint.h>\n{helpers}{_NUMBERS}")
    library = shared(path, "gcc", "-O1", *NO_ROOM_FOR_UNDEFINED)
    rng = np.random.default_rng(0)
    for places in (1, 7, 8, 9, 15, 16, 17, 24, 25, 31):
        for count in (1, 4, 9, 31, 32):
            values = rng.integers(0, 1 << places, 32)
            values[:2] = 0, (1 << places) - 1
            bits = pack(((values >> np.arange(places)[:, None]) & 1).astype(bool))
            # There is room for a multiple of eight, and none behind it is touched.
            found = np.full(40, -7, np.int32)
            pointers = (array.ctypes.data for array in (bits, found))
            of_bits, to = map(ctypes.c_void_p, pointers)
            library.numbers(of_bits, places, to, count)
            np.testing.assert_array_equal(found[:count], values[:count])
            assert (found[-(-count // 8) * 8 :] == -7).all()


def test_costs_are_known_for_every_step_and_lists_say_their_room() -> None:
    for seed in range(20):
        case = random_sums(seed, StepKind.CONV)
        buffers = [_Constant(array) for array in case.buffers]
        layer = Layer(case.step, 1, Memory(buffers, dict.fromkeys(range(99), 0)))
        for algorithm in ALGORITHMS:
            if StepKind.CONV not in algorithm.kinds or algorithm.why_not(layer):
                continue
            layer.memory.scratch.clear()
            cost = algorithm.cost(layer)
            assert not layer.memory.scratch
            assert not layer.memory.tables
            algorithm.write(layer)
            room = layer.memory.scratch
            taken = 2 * room.get("uint16_t", 0) + 4 * room.get("uint32_t", 0)
            assert cost.scratch == taken
            assert 0 < cost.instructions <= cost.worst
            layer.memory.tables.clear()


class _Constant:
    def __init__(self, array: np.ndarray) -> None:
        self.constant = array


def test_little_memory_can_be_asked_for(tmp_path) -> None:
    golden = Path(__file__).resolve().parents[1] / "golden" / "deploy_residual.onnx"
    fast = lq.deploy.to_c(golden, tmp_path, name="fast")
    small = lq.deploy.to_c(golden, tmp_path, name="small", optimize="memory")
    assert small.scratch_bytes < fast.scratch_bytes
    assert sum(layer.instructions for layer in fast.layers) < sum(
        layer.instructions for layer in small.layers
    )
    with pytest.raises(lq.errors.ArgumentError, match='Fix: "speed" or "memory"'):
        lq.deploy.to_c(golden, tmp_path, optimize="size")
