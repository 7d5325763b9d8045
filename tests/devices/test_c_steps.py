"""Every kind of step and epilogue in C against the NumPy kernels, on random memory."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from larqlite.deploy.targets.c._algorithms import ALGORITHMS
from larqlite.deploy.targets.c._epilogues import is_written
from larqlite_runtime._program import HALF_CONVS, HALF_PACKS, EpilogueKind, StepKind
from larqlite_runtime.backends.numpy import _kernels
from tests.devices.c_steps import c_steps, without_halves
from tests.devices.compilers import has, shared
from tests.runtime.steps import random_case

KINDS = [kind for kind in StepKind if kind not in HALF_CONVS]
EACH = 25

pytestmark = pytest.mark.skipif(not has("gcc"), reason="gcc is not installed")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.lower())
def test_steps_do_in_c_what_they_do_in_numpy(kind, tmp_path) -> None:
    cases = [without_halves(random_case(1000 + seed, kind)) for seed in range(EACH)]
    made = c_steps(cases)
    path = tmp_path / "steps.c"
    path.write_text(made.text)
    library = shared(path)
    library.steps_arena.restype = ctypes.POINTER(ctypes.c_uint32)
    arena = np.ctypeslib.as_array(library.steps_arena(), made.arena.shape)
    arena[:] = made.arena
    library.steps_run()
    for number, (case, places) in enumerate(zip(cases, made.places, strict=True)):
        buffers = [array.copy() for array in case.buffers]
        _kernels.run([case.step], buffers, 1)
        for buffer, place in places.items():
            expected = buffers[buffer]
            found = arena[place].view(expected.dtype)
            if _is_rounded(case.step) and expected.dtype == np.float32:
                np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
            else:
                message = f"case {number}, buffer {buffer}: {case.step}"
                np.testing.assert_array_equal(found, expected, message)


def _is_rounded(step) -> bool:
    """Whether floats of a step are summed in another order, or in float for double."""
    kinds = {op.kind for op in step.ops}
    rounded = {EpilogueKind.SOFTMAX, EpilogueKind.AVERAGE}
    return step.kind == StepKind.MEAN or bool(rounded & kinds)


def test_every_kind_of_step_and_epilogue_has_c() -> None:
    """But those of numbers of 16 bits, which only CPUs with such products are planned for."""
    kinds = {kind for algorithm in ALGORITHMS for kind in algorithm.kinds}
    assert set(StepKind) - kinds == set(HALF_CONVS)
    without = {kind for kind in EpilogueKind if not is_written(kind)}
    assert without == set(HALF_PACKS)
