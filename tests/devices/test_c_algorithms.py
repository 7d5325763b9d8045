"""Every algorithm that sums bits in C, forced on random steps, against the NumPy kernels."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
from larqlite.deploy.targets.c._algorithms import ALGORITHMS
from larqlite.deploy.targets.c._layer import Layer, Memory
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.backends.numpy import _kernels
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
