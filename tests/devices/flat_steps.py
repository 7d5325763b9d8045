"""Flat files of one random step each, of `tests/runtime/steps.py`: every kind, every operation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from larqlite.deploy.targets.flat import flat_bytes
from larqlite_runtime._program import ALIGNMENT, READS_VIEW, Buffer
from larqlite_runtime.internal import ProgramTensor, WholeProgram
from tests.devices.c_steps import constants_of
from tests.runtime.steps import Case


def flat_of_step(case: Case) -> tuple[bytes, dict[str, np.ndarray], list[int]]:
    """A step of one image as a file.

    What the step writes is there before, so that a stray write shows.

    Args:
        case: its buffers are made as long as whole words are.

    Returns:
        The file, its inputs by name, and the numbers of the buffers that are its outputs.
    """
    step = case.step
    case.buffers[:] = [
        np.resize(array, array.size + array.nbytes % 4 // 2) for array in case.buffers
    ]
    constants = constants_of(step)
    written = {op.view.buffer for op in step.ops if op.kind not in READS_VIEW}
    buffers, tensors, at = [], {}, 0
    for number, array in enumerate(case.buffers):
        buffer = Buffer(array.dtype, array.size, holds=f"b{number}")
        if number in constants and number not in written:
            buffer.constant = array
        elif number in written:
            buffer.initial, buffer.offset = array, at
            at += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        else:
            buffer.external = True
        shape = (None, array.size)
        tensors[number] = ProgramTensor(f"b{number}", shape, array.dtype, number)
        buffers.append(buffer)
    written &= set(tensors)
    fed = [number for number, buffer in enumerate(buffers) if buffer.external]
    outputs = sorted(written)
    program = WholeProgram(
        buffers,
        (step,),
        tuple(tensors[number] for number in fed),
        tuple(tensors[number] for number in outputs),
        at,
        SimpleNamespace(
            subgraph=SimpleNamespace(outputs=[f"b{number}" for number in outputs])
        ),
    )
    inputs = {f"b{number}": case.buffers[number] for number in fed}
    return flat_bytes(program), inputs, outputs
