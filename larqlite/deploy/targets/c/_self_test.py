"""A function of C that runs a network on numbers of its own and knows what has to come out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from larqlite.deploy.targets.c._interface import Interface, Parameter
from larqlite.deploy.targets.c._layer import Memory
from larqlite.deploy.targets.c._text import indented, lines, loop, real, table
from larqlite_runtime.internal import WholeProgram, run_program
from larqlite_runtime.planner import Access, accesses_of

# Values of an output that are compared, at most.
COMPARED = 32
# Of the largest output, by which one may be off: what another order of sums makes is far less,
# and one bit of a packed layer far more.
OFF = 1e-4
# What is returned where step 1 writes other integers, less one.
FIRST_STEP = 100
_FIRST, _FACTOR, _STEP = 1, 1664525, 1013904223


def sample_of(interface: Interface) -> dict[str, np.ndarray]:
    """The numbers that the function runs on, by the names of inputs in the model."""
    state, found = _FIRST, {}
    for item in interface.inputs:
        upper = np.empty(item.count, np.int64)
        for place in range(item.count):
            state = (state * _FACTOR + _STEP) & 0xFFFFFFFF
            upper[place] = state >> 24
        values = upper.astype(np.uint8)
        if item.ctype == "float":
            values = ((upper - 128) / 64).astype(np.float32)
        found[item.said] = values.reshape(item.shape)
    return found


def self_test_text(
    whole: WholeProgram, interface: Interface, memory: Memory, calls: list[str]
) -> str:
    """The function and what it compares with.

    Args:
        whole: the program.
        interface: of it.
        memory: of it.
        calls: statements that run it: at the end a call for each step, and one that copies
            outputs.
    """
    written = list(_integers_written(whole, memory))
    hashes: dict[int, int] = {}

    def look(number: int, arrays: list[np.ndarray]) -> None:
        for place, (step, access) in enumerate(written):
            if step == number:
                words = arrays[access.buffer].view(np.uint32)
                hashes[place] = hash_of(_look(words, access))

    made = run_program(whole, sample_of(interface), look)
    items = [(item, _expected(made[item.said])) for item in interface.outputs]
    steps = len(whole.steps)
    begin = len(calls) - 1 - steps
    run = list(calls[:begin])
    for number, call in enumerate(calls[begin:-1], 1):
        run.append(call)
        for place, (step, _) in enumerate(written):
            if step == number:
                test = f"hash_of(written + {place}) != 0x{hashes[place]:08x}U"
                run.append(f"if ({test}) return {FIRST_STEP + step};")
    run.append(calls[-1])
    body = lines(
        *(
            f"static {item.ctype} {item.name}[{item.count}];"
            for item in _all(interface)
        ),
        f"uint32_t state = {_FIRST}U;",
        "/* 4097 * 4097 has one bit too many: it is gone, unless the sum comes first. */",
        "volatile float factor = 4097.0F, offset = -16785408.0F;",
        "if (factor * factor + offset != 0.0F) return 1;",
        *(_filled(item) for item in interface.inputs),
        *run,
        *(_compared(item, expected) for item, expected in items),
        "return 0;",
    )
    tables = [
        table(
            f"expected_{item.name}",
            expected,
            "float",
            f"{item.said}, as it has to come out of the self-test",
        )
        for item, expected in items
        if np.isfinite(expected).all()
    ]
    macro, name = f"{interface.name.upper()}_NO_SELF_TEST", interface.name
    function = f"int {name}_self_test(void) {{\n{indented(body)}\n}}\n"
    hashed = [_hash_text(written, memory)] if written else []
    return "\n".join([f"#ifndef {macro}", *hashed, *tables, function + "#endif\n"])


def _integers_written(
    whole: WholeProgram, memory: Memory
) -> Iterator[tuple[int, Access]]:
    """The bits, codes and integers that each step writes, with its number."""
    for number, step in enumerate(whole.steps, 1):
        for access in accesses_of(step):
            is_mine = access.writes and access.buffer in memory.offsets
            if is_mine and access.dtype != np.float32:
                yield number, access


def _look(words: np.ndarray, access: Access) -> np.ndarray:
    counts, strides = _place(access)
    of_bytes = [4 * stride for stride in strides]
    return np.ndarray(counts, np.uint32, words, 4 * access.view.offset, of_bytes)


def _place(access: Access) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Counts and strides of what is written, in words."""
    view = access.view
    counts = (*access.size, access.kernel[0], access.last)
    return counts, (view.depth, view.row, view.pixel, access.tap[0], 1)


def hash_of(words: np.ndarray) -> int:
    """What words are told by: FNV-1a, a word at a time.

    >>> hex(hash_of(np.array([1, 2], np.uint32)))
    '0xed74208a'
    """
    value = 2166136261
    for number in words.reshape(-1).tolist():
        value = ((value ^ number) * 16777619) & 0xFFFFFFFF
    return value


def _hash_text(written: list[tuple[int, Access]], memory: Memory) -> str:
    rows = []
    for _, access in written:
        first = memory.offsets[access.buffer] + access.view.offset
        counts, strides = (", ".join(map(str, part)) for part in _place(access))
        rows.append(f"  {{{first}, {{{counts}}}, {{{strides}}}}}")
    places = ",\n".join(rows)
    return f"""\
/* Words of bits and codes that a step writes. */
struct written {{
  int32_t first, counts[5], strides[5];
}};

static const struct written written[{len(rows)}] = {{
{places}
}};

static uint32_t hash_of(const struct written *w) {{
  const int32_t *n = w->counts, *s = w->strides;
  uint32_t value = 2166136261U;
  for (int32_t d = 0; d < n[0]; ++d)
    for (int32_t y = 0; y < n[1]; ++y)
      for (int32_t x = 0; x < n[2]; ++x)
        for (int32_t p = 0; p < n[3]; ++p)
          for (int32_t k = 0; k < n[4]; ++k)
            value = (value ^ arena[w->first + s[0] * d + s[1] * y + s[2] * x + s[3] * p + k]) *
                    16777619U;
  return value;
}}
"""


def _all(interface: Interface) -> tuple[Parameter, ...]:
    return (*interface.inputs, *interface.outputs)


def _every(count: int) -> int:
    """From one value that is compared to the next."""
    return -(-count // COMPARED)


def _expected(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)[:: _every(array.size)].astype(np.float32)


def _filled(item: Parameter) -> str:
    value = "(uint8_t)(state >> 24)"
    if item.ctype == "float":
        value = "(float)((int32_t)(state >> 24) - 128) / 64.0F"
    body = lines(
        f"state = state * {_FACTOR}U + {_STEP}U;",
        f"{item.name}[i] = {value};",
    )
    return loop("i", item.count, body)


def _compared(item: Parameter, expected: np.ndarray) -> str:
    if not np.isfinite(expected).all():
        return (
            f"/* {item.name} is not finite for these numbers, and is not compared. */"
        )
    off = max(OFF * float(np.abs(expected).max(initial=0)), 1e-30)
    at = "i" if _every(item.count) == 1 else f"{_every(item.count)} * i"
    body = lines(
        f"const float off = {item.name}[{at}] - expected_{item.name}[i];",
        f"if (!(off <= {real(off)} && off >= {real(-off)})) return 2;",
    )
    return loop("i", expected.size, body)
