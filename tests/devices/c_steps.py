"""Random steps of `tests/runtime/steps.py` in one C file, each with memory of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from larqlite.deploy.targets.c._layer import Memory
from larqlite.deploy.targets.c._source import file_text, write_steps
from larqlite.deploy.targets.c._text import table
from larqlite_runtime._program import NOWHERE, Buffer, EpilogueKind, KernelStep
from tests.runtime.steps import Case

# Of the numbers of 16 bits, which C has none of.
HALVES = (EpilogueKind.PACK_BF16, EpilogueKind.PACK_PIXELS)


@dataclass
class CSteps:
    """Steps in C, and what their memory holds before they run.

    Attributes:
        text: of the file: `steps_arena()` is the memory, `steps_run()` runs all steps.
        arena: words before.
        places: for each case, where its buffers that are no constants lie, by number.
    """

    text: str
    arena: np.ndarray
    places: list[dict[int, slice]]


def constants_of(step: KernelStep) -> set[int]:
    """Buffers that hold weights and tables."""
    found = {step.weights, step.base, step.inside_base}
    found |= {step.row_class, step.column_class}
    for op in step.ops:
        if op.kind != EpilogueKind.MULTIPLY_IMAGE:
            found |= {op.a, op.b}
    return found - {NOWHERE}


def without_halves(case: Case) -> Case:
    """The case of one image, without operations that make numbers of 16 bits."""
    ops = tuple(op for op in case.step.ops if op.kind not in HALVES)
    return Case(replace(case.step, ops=ops), case.buffers, 1)


def c_steps(
    cases: list[Case],
    algorithm: str | list[str] | None = None,
    lists_zeros: Collection[int] = (),
) -> CSteps:
    """Cases in C.

    Args:
        cases: one step each.
        algorithm: the one to take where it fits, or a list of one a case.
        lists_zeros: numbers of cases, from 1 on, whose inputs that are +1 are listed.
    """
    buffers: list[Buffer] = []
    offsets: dict[int, int] = {}
    handed_in: dict[int, str] = {}
    steps, words, places, end = [], [], [], 0
    for case in cases:
        first = len(buffers)
        constants = constants_of(case.step)
        own: dict[int, slice] = {}
        for number, array in enumerate(case.buffers):
            is_constant = number in constants
            buffers.append(
                Buffer(array.dtype, array.size, constant=array if is_constant else None)
            )
            if not is_constant and array.dtype.itemsize == 4:
                offsets[first + number] = end
                own[number] = slice(end, end + array.size)
                words.append(array.view(np.uint32))
                end += array.size
            elif number == case.step.input.buffer and array.dtype == np.uint8:
                handed_in[first + number] = f"bytes_{first + number}"
        places.append(own)
        steps.append(_moved(case.step, first))
    memory = Memory(buffers, offsets, handed_in, dict.fromkeys(handed_in, "uint8_t"))
    wanted = [algorithm] * len(steps) if isinstance(algorithm, str) else algorithm
    named = dict(enumerate(wanted or [], 1))
    made = write_steps(tuple(steps), memory, named, lists_zeros=lists_zeros)
    calls = "\n".join(f"  {step.call}" for step in made)
    text = file_text("#include <stdint.h>", memory, end, made)
    flat = [array for case in cases for array in case.buffers]
    text += "\n".join(
        table(name, flat[number].reshape(-1), "uint8_t", "what is handed in")
        for number, name in handed_in.items()
    )
    text += (
        "uint32_t *steps_arena(void);\nvoid steps_run(void);\n"
        "uint32_t *steps_arena(void) { return arena; }\n"
        f"void steps_run(void) {{\n{calls}\n}}\n"
    )
    return CSteps(text, np.concatenate(words), places)


def _moved(step: KernelStep, by: int) -> KernelStep:
    """The step with buffers whose numbers are larger."""

    def number(old: int) -> int:
        return old if old == NOWHERE else old + by

    fields = ("weights", "base", "inside_base", "row_class", "column_class")
    ops = tuple(
        replace(
            op,
            a=number(op.a),
            b=number(op.b),
            view=replace(op.view, buffer=number(op.view.buffer)),
        )
        for op in step.ops
    )
    view = replace(step.input, buffer=number(step.input.buffer))
    moved = {name: number(getattr(step, name)) for name in fields}
    return replace(step, ops=ops, input=view, **moved)
