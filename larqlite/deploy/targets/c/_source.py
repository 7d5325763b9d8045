"""A whole program as the text of one C file and its header."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._algorithms import Algorithm, choose
from larqlite.deploy.targets.c._epilogues import around_image, is_written
from larqlite.deploy.targets.c._helpers import helpers_text
from larqlite.deploy.targets.c._interface import Interface, interface_of
from larqlite.deploy.targets.c._layer import ARENA, SCRATCH, Layer, Memory
from larqlite.deploy.targets.c._self_test import self_test_text
from larqlite.deploy.targets.c._sharing import StepBody, functions_of
from larqlite.deploy.targets.c._text import (
    comment,
    indented,
    lines,
    loop,
    sum_of,
    times,
    word,
)
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.internal import (
    CODES,
    PACKS,
    Buffer,
    KernelStep,
    WholeProgram,
    filled_before,
)

# What files begin with, so that an export writes over its own files only.
MARK = "Written by larqlite:"

_CHECKS = """\
#include <float.h>
#include <string.h>

#if defined(__FAST_MATH__) || (defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0)
#error "Floats have to be computed as written: compile without -ffast-math (on x86: -mfpmath=sse)."
#endif
"""
# gcc 12 may write two addresses in the arena as multiples of one another, of which it forgets
# that they lead anywhere; then it takes a function that only writes there for one without effect.
_STEPS = """\
/* Functions whose calls stay where they are. */
#if defined(__GNUC__) && !defined(__clang__)
#define STEP static __attribute__((noipa))
#else
#define STEP static
#endif
"""
# Behind the functions that know no floats: gcc spends fewer registers on what follows it.
_NO_CONTRACTION = """\
/* A product and a sum must not become one operation, which rounds once: -ffp-contract=off. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""
_FILL = """\
/* What borders hold. */
STEP void fill_words(uint32_t *to, int32_t count, uint32_t word) {
  for (; count > 0; --count) *to++ = word;
}
"""
_TRACE = """\
/* For tests: a function that sees the arena behind each step. */
#ifdef LARQLITE_TRACE
void LARQLITE_TRACE(int step, const uint32_t *words);
#define AFTER(step) LARQLITE_TRACE(step, arena)
#else
#define AFTER(step) ((void)0)
#endif
"""


@dataclass(frozen=True)
class WrittenStep:
    """What became of a step.

    Attributes:
        step, algorithm, layer: the step, and how it is computed.
        text: its tables and its function, unless an earlier step has that.
        call: the statement that runs it.
        table_bytes: of its tables.
    """

    step: KernelStep
    algorithm: Algorithm
    layer: Layer
    text: str
    call: str
    table_bytes: int


@dataclass(frozen=True)
class CSource:
    """A program in C.

    Attributes:
        name: of the network, which all public names begin with.
        source, header: the text of the two files.
        steps: in order.
        memory: tables, scratch, and where buffers lie.
        arena: words.
    """

    name: str
    source: str
    header: str
    steps: list[WrittenStep]
    memory: Memory
    arena: int


def write_steps(
    steps: tuple[KernelStep, ...],
    memory: Memory,
    algorithms: Mapping[int, str] | str | None = None,
    optimize: str = "speed",
    lists_zeros: Collection[int] = (),
) -> list[WrittenStep]:
    """Writes steps; those that are alike share a function.

    Args:
        steps: of a program.
        memory: of it; gets the tables.
        algorithms: names of those to take where they fit, by number of the step, or one
            for all.
        optimize: a key of `OPTIMIZE`.
        lists_zeros: numbers of steps most of whose inputs are -1.

    Raises:
        UnsupportedModelError: a step that no algorithm computes; says which.
    """
    last = max(
        (number for number, step in enumerate(steps, 1) if _packs_floats(step)),
        default=0,
    )
    if isinstance(algorithms, str):
        algorithms = dict.fromkeys(range(1, len(steps) + 1), algorithms)
    named = algorithms or {}
    bodies = [
        _body_of(
            Layer(step, number, memory, number <= last, number in lists_zeros),
            named.get(number),
            optimize,
        )
        for number, step in enumerate(steps, 1)
    ]
    functions = functions_of(bodies, lambda text: _inputs_in(text, memory))
    return [
        WrittenStep(
            body.layer.step, body.algorithm, body.layer, text, call, body.table_bytes
        )
        for body, (text, call) in zip(bodies, functions, strict=True)
    ]


def _packs_floats(step: KernelStep) -> bool:
    return any(op.kind in (*PACKS, *CODES) for op in step.ops)


def _body_of(layer: Layer, name: str | None, optimize: str) -> StepBody:
    step, memory = layer.step, layer.memory
    algorithm = choose(layer, name, optimize)
    missing = [op.kind.name for op in step.ops if not is_written(op.kind)]
    if algorithm is None or missing:
        raise UnsupportedModelError(
            f'to_c: "{step.label or layer.name}" has no exact form in C '
            f"({', '.join(missing) or step.kind.name}).\n"
            "  Fix: leave this layer out of the model, or run the file with "
            "lq.runtime.load."
        )
    tables, sizes = len(memory.tables), sum(memory.table_bytes.values())
    body = around_image(layer, algorithm.write(layer))
    return StepBody(
        layer,
        algorithm,
        describe(step),
        body,
        "\n".join(memory.tables[tables:]),
        sum(memory.table_bytes.values()) - sizes,
    )


def describe(step: KernelStep) -> str:
    """A step in a line: what it does, window, sizes."""

    def sizes(values, channels) -> str:
        shown = list(values)
        while len(shown) > 1 and shown[0] == 1:
            shown.pop(0)
        return "x".join(map(str, [*shown, channels]))

    kind = step.kind.name.lower()
    window = "x".join(map(str, step.kernel)) if step.taps > 1 else ""
    groups = f"{step.groups} groups" if step.groups > 1 else ""
    ops = ", ".join(op.kind.name.lower() for op in step.ops)
    parts = [kind, window, groups, f"makes {sizes(step.size, step.channels)}", ops]
    return ", ".join(part for part in parts if part)


def source_of(
    whole: WholeProgram,
    name: str,
    title: str = "",
    *,
    optimize: str = "speed",
    algorithm: str | None = None,
    lists_zeros: Collection[int] = (),
) -> CSource:
    """The C of a program.

    Args:
        whole: the program.
        name: of the network; a name of C.
        title: what the file says that it is.
        optimize: a key of `OPTIMIZE`.
        algorithm: that is taken where it fits.
        lists_zeros: numbers of steps most of whose inputs are -1.

    Raises:
        UnsupportedModelError: what has no exact form in C; says which layer.
    """
    interface = interface_of(whole, name)
    memory = _memory(whole, interface)
    steps = write_steps(whole.steps, memory, algorithm, optimize, lists_zeros)
    arena = whole.arena // 4
    calls, parts = [], []
    fills = filled_before(whole.steps, whole.buffers)
    for made, fill in zip(steps, fills, strict=True):
        call = made.call
        if fill:
            of_tables, fills_words = _borders(whole.buffers, fill, memory)
            if of_tables:
                name_of_fill = f"fill_borders_{made.layer.number}"
                head = f"STEP void {name_of_fill}(void)"
                parts.append(function_text(head, of_tables))
                fills_words.append(f"{name_of_fill}();")
            call = lines(*fills_words, call)
        calls.append(call)
    if any("fill_words" in call for call in calls):
        parts.insert(0, _FILL)
    results = interface.results(memory)
    # An output may be part of an input as it is.
    given = _inputs_in(lines(*results), memory)
    ends = [*given.values(), *(f"{i.ctype} *{i.name}" for i in interface.outputs)]
    words = [*given, *(item.name for item in interface.outputs)]
    copied = f"copy_outputs({', '.join(words)});"
    parts.append(function_text(f"STEP void copy_outputs({', '.join(ends)})", results))
    body = [
        *(
            f"{call}\nAFTER({made.layer.number});"
            for call, made in zip(calls, steps, strict=True)
        ),
        copied,
    ]
    parts.append(function_text(interface.prototype, body))
    parts.append(self_test_text(whole, interface, memory, [*calls, copied]))
    said = [
        f"{MARK} {name}.c{f', {title}' if title else ''}",
        interface.said,
        *(f"{made.layer.number}. {said_of(made)}" for made in steps),
    ]
    head = lines(comment("\n".join(said)), f'#include "{name}.h"')
    text = file_text(head, memory, arena, steps)
    text = "\n".join([text, *parts])
    header = interface.header(MARK, arena, memory)
    return CSource(name, text, header, steps, memory, arena)


def _inputs_in(text: str, memory: Memory) -> dict[str, str]:
    """The inputs that statements read, each as a parameter of C."""
    return {
        name: f"const {memory.input_types.get(number, 'float')} *{name}"
        for number, name in memory.inputs.items()
        if re.search(rf"\b{name}\b", text)
    }


def function_text(head: str, statements: list[str]) -> str:
    """A function of C."""
    return f"{head} {{\n{indented(lines(*statements))}\n}}\n"


def said_of(made: WrittenStep) -> str:
    """A step in a line: the layers that it stands for, what it does, by which algorithm."""
    label = made.step.label or made.layer.name
    return f"{label}: {describe(made.step)}; {made.algorithm.name}"


def file_text(head: str, memory: Memory, arena: int, steps: list[WrittenStep]) -> str:
    """Everything of a C file but the functions that call its steps."""
    rooms = "\n".join(
        f"static {kind.split()[0]} {SCRATCH[kind]}[{count}];"
        for kind, count in memory.scratch.items()
    )
    of_steps = "\n".join(made.text for made in steps)
    others = [table for table in memory.tables if table not in of_steps]
    needs_infinity = any("INFINITY" in text for text in (of_steps, *others))
    of_integers, of_floats = helpers_text(memory.helpers)
    return "\n".join(
        [
            head,
            _CHECKS + ("#include <math.h>\n" if needs_infinity else ""),
            of_integers,
            _NO_CONTRACTION,
            _STEPS,
            comment("What steps leave for later ones, as words."),
            f"static uint32_t {ARENA}[{max(arena, 1)}];",
            rooms,
            _TRACE,
            of_floats,
            *(made.text for made in steps),
            *others,
        ]
    )


def _memory(whole: WholeProgram, interface: Interface) -> Memory:
    offsets = {
        number: buffer.offset // 4
        for number, buffer in enumerate(whole.buffers)
        if buffer.constant is None and not buffer.external
    }
    inputs = {item.tensor.buffer: item.name for item in interface.inputs}
    types = {item.tensor.buffer: item.ctype for item in interface.inputs}
    return Memory(whole.buffers, offsets, inputs, types)


def _borders(
    buffers: list[Buffer], numbers: list[int], memory: Memory
) -> tuple[list[str], list[str]]:
    """Statements that fill what steps leave alone, of some buffers.

    Returns:
        Those of buffers that hold several words by turns, and calls for the others.
    """
    found, calls = [], []
    for number in numbers:
        buffer = buffers[number]
        words = np.ascontiguousarray(buffer.initial).reshape(-1)
        words = np.broadcast_to(words, (buffer.count,)) if words.size == 1 else words
        words = np.ascontiguousarray(words).view(np.uint32)
        at = sum_of(ARENA, str(memory.offsets[number]))
        period = next(
            size
            for size in range(1, words.size + 1)
            if words.size % size == 0
            and (words.reshape(-1, size) == words[:size]).all()
        )
        if period == 1:
            calls.append(f"fill_words({at}, {words.size}, {word(words[0])});")
        elif period <= 8:
            stores = lines(
                *(
                    f"{ARENA}[{sum_of(str(memory.offsets[number] + i), times(period, 'i'))}]"
                    f" = {word(words[i])};"
                    for i in range(period)
                )
            )
            found.append(loop("i", words.size // period, stores))
        else:
            table = memory.add_table(
                f"borders_{number}", words[:period], "uint32_t", "what borders hold"
            )
            copy = f"memcpy({at} + {period} * i, {table}, sizeof {table});"
            found.append(loop("i", words.size // period, copy))
    return found, calls
