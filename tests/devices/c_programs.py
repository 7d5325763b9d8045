"""Many networks in one program for a board, and what each step of them wrote there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from larqlite.deploy.targets._boards import FLAGS, Board
from larqlite.deploy.targets.c._self_test import hash_of
from larqlite.deploy.targets.c._source import CSource
from larqlite_runtime.internal import (
    CODES,
    PACKS,
    EpilogueKind,
    KernelStep,
    StepKind,
    WholeProgram,
    run_program,
)
from larqlite_runtime.planner import accesses_of

# Flags that generated C has to pass.
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
PAINTED = 4096  # bytes below the stack that are looked at


@dataclass
class CProgram:
    """A network in C, and its samples.

    Attributes:
        whole: the program that it was made of.
        source: the C.
        samples: for each, an array for each input.
        looks: whether the words that steps write are hashed; else the stack is measured.
    """

    whole: WholeProgram
    source: CSource
    samples: Sequence[Sequence[np.ndarray]]
    looks: bool = True

    @property
    def sizes(self) -> list[int]:
        """Floats of each output."""
        return [int(np.prod(tensor.shape[1:])) for tensor in self.whole.outputs]


@dataclass
class Made:
    """What a network made of its samples.

    Attributes:
        outputs: for each sample, the floats of all outputs.
        hashes: for each sample, those of what steps wrote.
        stack: bytes that a call put on the stack, at most.
        counts: of each sample, instructions.
    """

    outputs: list[np.ndarray] = field(default_factory=list)
    hashes: list[list[int]] = field(default_factory=list)
    stack: int = 0
    counts: list[int] = field(default_factory=list)


def native_hashes(program: CProgram, sample: Sequence[np.ndarray]) -> list[int]:
    """What each step writes in the native kernels, each buffer with memory of its own."""
    whole, found = program.whole, []

    def look(number: int, arrays: list[np.ndarray]) -> None:
        for of_step, access in _written(program):
            if of_step == number:
                words = arrays[access.buffer].view(np.uint32)
                found.append(hash_of(_look(words, access, access.view.offset)))

    names = [tensor.name for tensor in whole.inputs]
    run_program(whole, dict(zip(names, sample, strict=True)), look)
    return found


def exact_words(program: CProgram) -> int:
    """How many of the hashes of a sample have to be those of the native kernels.

    All but those behind a mean of floats that no bits are made of, which C sums in float.
    """
    steps = program.whole.steps
    packing = (*PACKS, *CODES)
    packs = [n for n, step in enumerate(steps, 1) if _has(step, packing)]
    last = max(packs, default=0)
    means = [
        n
        for n, step in enumerate(steps, 1)
        if n > last
        and (step.kind == StepKind.MEAN or _has(step, (EpilogueKind.AVERAGE,)))
    ]
    first = min(means, default=len(steps) + 1)
    return sum(number < first for number, _ in _written(program))


def _has(step: KernelStep, kinds: Sequence[EpilogueKind]) -> bool:
    return any(op.kind in kinds for op in step.ops)


def _written(program: CProgram) -> Iterator[tuple[int, object]]:
    for number, step in enumerate(program.whole.steps, 1):
        for access in accesses_of(step):
            if access.writes and access.buffer in program.source.memory.offsets:
                yield number, access


def _place(access) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Counts and strides of what is written, in words."""
    view = access.view
    counts = (*access.size, access.kernel[0], access.last)
    return counts, (view.depth, view.row, view.pixel, access.tap[0], 1)


def _look(words: np.ndarray, access, first: int) -> np.ndarray:
    counts, strides = _place(access)
    bytes_of = [4 * stride for stride in strides]
    return np.ndarray(counts, np.uint32, words, 4 * first, bytes_of)


def run(
    board: Board, programs: Sequence[CProgram], folder: Path, *flags: str
) -> list[Made]:
    """Compiles all into one program for a board and runs it once.

    Args:
        board: of `larqlite.deploy.targets._boards`.
        programs: their names differ.
        folder: for what is made; `folder / "program"` is the program.
        flags: further ones of the compiler.
    """
    build(board, programs, folder, *flags)
    board.run(folder / "program")
    return read(programs, folder)


def build(
    board: Board, programs: Sequence[CProgram], folder: Path, *flags: str
) -> None:
    """The first half of `run`: the program, and the file that it reads."""
    folder.mkdir(exist_ok=True)
    sources = []
    for program in programs:
        name = program.source.name
        (folder / f"{name}.h").write_text(program.source.header, encoding="ascii")
        text = program.source.source
        if program.looks:
            text = f"#define LARQLITE_TRACE {name}_trace\n{text}"
        sources.append(folder / f"{name}.c")
        sources[-1].write_text(text, encoding="ascii")
    main = folder / "main.c"
    main.write_text(_main(programs), encoding="ascii")
    fed = [
        np.ascontiguousarray(array).tobytes()
        for program in programs
        for sample in program.samples
        for array in sample
    ]
    (folder / "in.bin").write_bytes(b"".join(fed))
    # The generated C has to pass more than what a board begins with.
    names = [path.name for path in sources]
    given = [flag for flag in FLAGS if not flag.startswith("-Wl,")]
    command = [*board.compiler, *given, *STRICT, *flags, "-c", *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objects = [path.with_suffix(".o") for path in sources]
    board.build([main, *objects], folder, *flags)


def read(programs: Sequence[CProgram], folder: Path) -> list[Made]:
    """The second half of `run`: what the program wrote."""
    data = (folder / "out.bin").read_bytes()
    found, at = [], 0

    def take(count: int, dtype) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(data, dtype, count, at)
        at += array.nbytes
        return array

    for program in programs:
        made = Made()
        looks = sum(1 for _ in _written(program)) if program.looks else 0
        for _ in program.samples:
            made.hashes.append(take(looks, np.uint32).tolist())
            made.outputs.append(take(sum(program.sizes), np.float32))
            stack, count = take(2, np.uint32).tolist()
            made.stack = max(made.stack, stack)
            made.counts.append(count)
        found.append(made)
    assert at == len(data)
    return found


def _main(programs: Sequence[CProgram]) -> str:
    most_in = max(sum(a.nbytes for a in p.samples[0]) for p in programs)
    most_out = max(sum(program.sizes) for program in programs)
    parts, calls = [], []
    for program in programs:
        name = program.source.name
        parts.append(f'#include "{name}.h"')
        if program.looks:
            parts.append(_trace(program))
        sizes = [array.nbytes for array in program.samples[0]]
        kinds = [
            "uint8_t" if array.dtype == np.uint8 else "float"
            for array in program.samples[0]
        ]
        taken = [
            f"(const {kind} *)(const void *)(taken + {sum(sizes[:place])})"
            for place, kind in enumerate(kinds)
        ]
        made = [
            f"made + {sum(program.sizes[:place])}"
            for place in range(len(program.sizes))
        ]
        call = f"{name}_run({', '.join([*taken, *made])});"
        calls.append(
            f"""\
  for (int i = 0; i < {len(program.samples)}; ++i) {{
    machine_read(taken, {sum(sizes)});
    {"" if program.looks else "paint();"}
    machine_start();
    {call}
    counts[1] = (uint32_t)machine_taken();
    counts[0] = {"0" if program.looks else "stack()"};
    machine_write(made, {4 * sum(program.sizes)});
    machine_write(counts, sizeof counts);
  }}
"""
        )
    return _MAIN.format(
        painted=PAINTED,
        parts="\n".join(parts),
        calls="".join(calls),
        most_in=-(-most_in // 4),
        most_out=most_out,
    )


def _trace(program: CProgram) -> str:
    """The function that hashes what a step wrote."""
    name, offsets = program.source.name, program.source.memory.offsets
    rows = []
    for number, access in _written(program):
        counts, strides = _place(access)
        first = offsets[access.buffer] + access.view.offset
        numbers = ", ".join(map(str, (number, first, *counts, *strides)))
        rows.append(f"  {numbers},")
    table = "\n".join(rows)
    return (
        f"static const int32_t {name}_written[] = {{\n{table}\n  0}};\n"
        f"void {name}_trace(int step, const uint32_t *words);\n"
        f"void {name}_trace(int step, const uint32_t *words) {{\n"
        f"  look({name}_written, step, words);\n}}"
    )


_MAIN = """\
#include <stddef.h>
#include <stdint.h>
void machine_open(int which);
void machine_read(void *to, size_t bytes);
void machine_write(const void *from, size_t bytes);
void machine_start(void);
uint64_t machine_taken(void);
int main(void);

static uintptr_t painted;
static uint32_t counts[2], input_words[{most_in}];
static float made[{most_out}];

/* What lies below the frames of `main`. */
__attribute__((noinline, unused)) static void paint(void) {{
  volatile uint8_t room[{painted}];
  painted = (uintptr_t)room;
  for (int i = 0; i < {painted}; ++i) room[i] = 0xa5;
}}

__attribute__((noinline, unused)) static uint32_t stack(void) {{
  const volatile uint8_t *room = (const volatile uint8_t *)painted;
  uint32_t unused = 0;
  while (unused < {painted} && room[unused] == 0xa5) ++unused;
  return {painted} - unused;
}}

__attribute__((unused)) static void look(const int32_t *row, int step, const uint32_t *words) {{
  for (; row[0]; row += 12) {{
    const int32_t *n = row + 2, *s = row + 7;
    uint32_t value = 2166136261U;
    if (row[0] != step) continue;
    for (int32_t a = 0; a < n[0]; ++a)
      for (int32_t b = 0; b < n[1]; ++b)
        for (int32_t c = 0; c < n[2]; ++c)
          for (int32_t d = 0; d < n[3]; ++d)
            for (int32_t e = 0; e < n[4]; ++e)
              value = (value ^ words[row[1] + a * s[0] + b * s[1] + c * s[2] + d * s[3] +
                                     e * s[4]]) * 16777619U;
    machine_write(&value, sizeof value);
  }}
}}

{parts}

int main(void) {{
  uint8_t *taken = (uint8_t *)input_words;
  machine_open(0);
  machine_open(1);
{calls}  return 0;
}}
"""
