"""The sums of a 3x3 binary convolution alone, or as many products as fast as they can be."""

import ctypes

import numpy as np
from inputs import STAGES

from larqlite_runtime._program import (
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer, c_steps
from workloads._base import Workload


def prepare(library: str, stage: str, isa: str, peak: bool = False):
    """The layer of a stage on random bits, or the peak of the instruction set.

    Args:
        library: "larqlite".
        stage: of `inputs.STAGES`; its sums are stored as integers.
        isa: the instruction set.
        peak: whether to do products in registers instead: one call of `lq_peak` for 0
            seconds does 20 x 1000 x 12 instructions of 512.
    """
    lib, number = _native.library(), _native.INSTRUCTION_SETS[isa]
    if peak:
        return Workload(lambda: lib.lq_peak(number, 0.0))
    size, channels = STAGES[stage]
    words, side = channels // 32, size + 2
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 2**32, side * side * words, "uint32"),
        rng.integers(0, 2**32, channels * 9 * words, "uint32"),
        np.full(channels, 9 * channels, "int32"),
        np.zeros(size * size * channels, "int32"),
    ]
    row, image = size * channels, size * size * channels
    step = KernelStep(
        kind=StepKind.CONV,
        size=(1, size, size),
        channels=channels,
        input=TensorView(0, row=side * words, pixel=words),
        ops=(
            EpilogueOp(
                EpilogueKind.STORE_INT,
                view=TensorView(3, 0, image, image, row, channels),
            ),
        ),
        kernel=(1, 3, 3),
        tap=(0, side * words, words),
        words=words,
        weights=1,
        base=2,
    )
    steps = c_steps([step])
    buffers = (CBuffer * 4)(*(CBuffer(a.ctypes.data, a.nbytes) for a in arrays))
    failed = lib.lq_check(ctypes.byref(steps[0]), buffers, 4, 1)
    if failed:
        raise RuntimeError(f"the step fails check {failed}")

    def run() -> None:
        lib.lq_run(steps, 1, buffers, 4, 1, 1, 1, number, None)

    return Workload(run, lambda: [float(arrays[3].sum())])
