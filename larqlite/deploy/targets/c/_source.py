"""A whole program as the text of one C file and its header."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from larqlite.deploy.targets.c._algorithms import Algorithm, choose
from larqlite.deploy.targets.c._epilogues import around_image, is_written
from larqlite.deploy.targets.c._helpers import helpers_text
from larqlite.deploy.targets.c._layer import ARENA, SCRATCH, Layer, Memory
from larqlite.deploy.targets.c._text import (
    comment,
    identifier,
    indented,
    lines,
    loop,
    real,
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
    ProgramTensor,
    TensorView,
    WholeProgram,
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
# Behind the functions that know no floats: gcc spends fewer registers on what follows it.
_NO_CONTRACTION = """\
/* A product and a sum must not become one operation, which rounds once: -ffp-contract=off. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
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
        text: its tables and its function.
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
    said: Mapping[str, str] = field(default_factory=dict)


def write_steps(
    steps: tuple[KernelStep, ...],
    memory: Memory,
    algorithms: Mapping[int, str] | None = None,
) -> list[WrittenStep]:
    """Writes steps, one function each.

    Args:
        steps: of a program.
        memory: of it; gets the tables.
        algorithms: names of those to take where they fit, by number of the step.

    Raises:
        UnsupportedModelError: a step that no algorithm computes; says which.
    """
    last = max(
        (number for number, step in enumerate(steps, 1) if _packs_floats(step)),
        default=0,
    )
    return [
        _write_step(
            Layer(step, number, memory, number <= last), (algorithms or {}).get(number)
        )
        for number, step in enumerate(steps, 1)
    ]


def _packs_floats(step: KernelStep) -> bool:
    return any(op.kind in (*PACKS, *CODES) for op in step.ops)


def _write_step(layer: Layer, name: str | None) -> WrittenStep:
    step, memory = layer.step, layer.memory
    algorithm = choose(layer, name)
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
    used = [name for name in memory.inputs.values() if re.search(rf"\b{name}\b", body)]
    taken = ", ".join(
        f"const {memory.input_types.get(number, 'float')} *{name}"
        for number, name in memory.inputs.items()
        if name in used
    )
    head = comment(f"{step.label or layer.name}: {describe(step)}; {algorithm.name}.")
    function = f"static void {layer.name}({taken or 'void'}) {{\n{indented(body)}\n}}\n"
    own = memory.tables[tables:]
    call = f"{layer.name}({', '.join(used)});"
    return WrittenStep(
        step,
        algorithm,
        layer,
        "\n".join([*own, f"{head}\n{function}"]),
        call,
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


def source_of(whole: WholeProgram, name: str, title: str = "") -> CSource:
    """The C of a program.

    Args:
        whole: the program.
        name: of the network; a name of C.
        title: what the file says that it is.

    Raises:
        UnsupportedModelError: what has no exact form in C; says which layer.
    """
    memory = _memory(whole)
    steps = write_steps(whole.steps, memory)
    arena = whole.arena // 4
    inputs = _parameters(whole.inputs, "input", "const float")
    outputs = _parameters(whole.outputs, "output", "float")
    outputs |= {item: f"float *{identifier(item)}" for item in whole.constants}
    prototype = f"void {name}_run({', '.join([*inputs.values(), *outputs.values()])})"
    body = lines(
        *_borders(whole.buffers, memory),
        *(f"{made.call}\nAFTER({made.layer.number});" for made in steps),
        *_results(whole, memory),
    )
    head = lines(comment(f"{MARK} {name}.c: {title}"), f'#include "{name}.h"')
    text = file_text(head, memory, arena, steps)
    text += f"\n{prototype} {{\n{indented(body)}\n}}\n"
    header = _header(whole, name, prototype, arena, memory)
    return CSource(name, text, header, steps, memory, arena)


def file_text(head: str, memory: Memory, arena: int, steps: list[WrittenStep]) -> str:
    """Everything of a C file but the functions that call its steps."""
    rooms = "\n".join(
        f"static {kind.split()[0]} {SCRATCH[kind]}[{count}];"
        for kind, count in memory.scratch.items()
    )
    of_steps = "\n".join(made.text for made in steps)
    others = [table for table in memory.tables if table not in of_steps]
    needs_infinity = "INFINITY" in of_steps
    of_integers, of_floats = helpers_text(memory.helpers)
    return "\n".join(
        [
            head,
            _CHECKS + ("#include <math.h>\n" if needs_infinity else ""),
            of_integers,
            _NO_CONTRACTION,
            comment("What steps leave for later ones, as words."),
            f"static uint32_t {ARENA}[{max(arena, 1)}];",
            rooms,
            _TRACE,
            of_floats,
            *(made.text for made in steps),
            *others,
        ]
    )


def _memory(whole: WholeProgram) -> Memory:
    inputs, types = {}, {}
    for number, tensor in enumerate(whole.inputs, 1):
        if tensor.dtype == np.uint8:
            types[tensor.buffer] = "uint8_t"
        else:
            _require_float(tensor)
        inputs[tensor.buffer] = "input" if len(whole.inputs) == 1 else f"input_{number}"
    offsets = {
        number: buffer.offset // 4
        for number, buffer in enumerate(whole.buffers)
        if buffer.constant is None and not buffer.external
    }
    return Memory(whole.buffers, offsets, inputs, types)


def _require_float(tensor: ProgramTensor) -> None:
    if tensor.dtype != np.float32:
        raise UnsupportedModelError(
            f'to_c: "{tensor.name}" holds {tensor.dtype}, and inputs and outputs in C are '
            "floats.\n  Fix: end the model before it."
        )


def _parameters(
    tensors: tuple[ProgramTensor, ...], what: str, ctype: str
) -> dict[str, str]:
    if len(tensors) == 1:
        return {tensors[0].name: f"{ctype} *{what}"}
    return {
        tensor.name: f"{ctype} *{what}_{number}"
        for number, tensor in enumerate(tensors, 1)
    }


def _borders(buffers: list[Buffer], memory: Memory) -> list[str]:
    """Statements that fill what steps leave alone."""
    found = []
    for number, buffer in enumerate(buffers):
        if buffer.initial is None or buffer.constant is not None:
            continue
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
        if not words.any():
            found.append(f"memset({at}, 0, {4 * words.size});")
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
    return found


def _results(whole: WholeProgram, memory: Memory) -> list[str]:
    """Statements that copy outputs from where steps left them."""
    found = []
    layer = Layer(KernelStep.__new__(KernelStep), 0, memory)
    for number, tensor in enumerate(whole.outputs, 1):
        _require_float(tensor)
        out = "output" if len(whole.outputs) == 1 else f"output_{number}"
        sizes = tensor.shape[1:]
        count = math.prod(sizes)
        view = TensorView(tensor.buffer, tensor.first)
        _, read = layer.reads_reals(view)
        base = layer.address(view)
        # Pixels and channels in the order of the output, and where these lie in memory.
        if tensor.is_turned:
            pixels, channels = math.prod(sizes[1:]), sizes[0]
            at = sum_of(times(pixels, "c"), "i")
        else:
            channels = tensor.channels if tensor.pixel else count
            pixels = count // channels
            at = sum_of(times(channels, "i"), "c")
        of = sum_of(times(tensor.pixel or channels, "i", pixels), "c")
        value = read.format(f"({base})[{of}]")
        copy = loop("c", channels, f"{out}[{at}] = {value};")
        found.append(loop("i", pixels, copy))
    for name, values in whole.constants.items():
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        table = memory.add_table(
            identifier(name), flat, "float", f"{name}: the same always"
        )
        found.append(f"memcpy({identifier(name)}, {table}, sizeof {table});")
    return found


def _header(
    whole: WholeProgram, name: str, prototype: str, arena: int, memory: Memory
) -> str:
    macro = name.upper()
    sizes = []
    for what, tensors in (("INPUT", whole.inputs), ("OUTPUT", whole.outputs)):
        for number, tensor in enumerate(tensors, 1):
            part = what if len(tensors) == 1 else f"{what}_{number}"
            shape = " x ".join(map(str, tensor.shape[1:]))
            sizes.append(comment(f"{tensor.name}: {shape}"))
            sizes.append(f"#define {macro}_{part}_SIZE {math.prod(tensor.shape[1:])}")
    scratch = memory.scratch_bytes
    return f"""\
{comment(f"{MARK} {name}.h: the interface of {name}.c.")}
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

{chr(10).join(sizes)}
/* Bytes of memory: tensors between steps, and room to work in. */
#define {macro}_ARENA_BYTES {4 * max(arena, 1)}
#define {macro}_SCRATCH_BYTES {scratch}

#ifdef __cplusplus
extern "C" {{
#endif

{prototype};

#ifdef __cplusplus
}}
#endif
#endif
"""


__all__ = ["CSource", "WrittenStep", "describe", "source_of", "write_steps", "real"]
