"""What a network in C takes and gives: the parameters of its function, and the header."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._layer import Layer, Memory
from larqlite.deploy.targets.c._text import (
    comment,
    filled,
    loop,
    sum_of,
    times,
)
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.internal import (
    KernelStep,
    ProgramTensor,
    StepKind,
    TensorView,
    WholeProgram,
)


@dataclass(frozen=True)
class Parameter:
    """An input or an output.

    Attributes:
        name: in C.
        ctype: of its elements.
        shape: of an image.
        said: the name in the model.
        tensor: where it lies in the program; None for an output that is always the same.
        values: of that.
    """

    name: str
    ctype: str
    shape: tuple[int, ...]
    said: str
    tensor: ProgramTensor | None = None
    values: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Elements of an image."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Interface:
    """The function of a network.

    Attributes:
        name: of the network.
        inputs, outputs: in order.
    """

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]

    @property
    def prototype(self) -> str:
        """The function that runs the network."""
        taken = [f"const {item.ctype} *{item.name}" for item in self.inputs]
        given = [f"{item.ctype} *{item.name}" for item in self.outputs]
        return f"void {self.name}_run({', '.join(taken + given)})"

    @property
    def said(self) -> str:
        """A line on what goes in and comes out."""

        def shown(items: tuple[Parameter, ...]) -> str:
            return ", ".join(
                f"{item.said} ({' x '.join(map(str, item.shape))} {item.ctype})"
                for item in items
            )

        return f"{shown(self.inputs)} to {shown(self.outputs)}"

    def results(self, memory: Memory) -> list[str]:
        """Statements that copy outputs from where steps left them."""
        found = []
        for item in self.outputs:
            if item.tensor is not None:
                found.append(_copied(item, memory))
                continue
            flat = np.ascontiguousarray(item.values, np.float32).reshape(-1)
            said = f"{item.said}: the same always"
            table = memory.add_table(f"{item.name}_values", flat, "float", said)
            found.append(f"memcpy({item.name}, {table}, sizeof {table});")
        return found

    def header(self, mark: str, arena: int, memory: Memory) -> str:
        """The text of the header.

        Args:
            mark: what files begin with.
            arena: words.
            memory: of the program, whose steps are written.
        """
        macro = self.name.upper()
        sizes = []
        for what, items in (("INPUT", self.inputs), ("OUTPUT", self.outputs)):
            for number, item in enumerate(items, 1):
                part = what if len(items) == 1 else f"{what}_{number}"
                shape = " x ".join(map(str, item.shape))
                sizes.append(comment(f"{item.said}: {shape}"))
                sizes.append(f"#define {macro}_{part}_SIZE {item.count}")
        return f"""\
{comment(f"{mark} {self.name}.h, the interface of {self.name}.c.")}
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

{chr(10).join(sizes)}
/* Bytes of static memory: what layers leave for later ones, and room to work in. */
#define {macro}_ARENA_BYTES {4 * max(arena, 1)}
#define {macro}_SCRATCH_BYTES {memory.scratch_bytes}

#ifdef __cplusplus
extern "C" {{
#endif

/* One image, in the order of Keras: rows, columns, channels. Not to be called again before
   it returns: its memory is static. Compile with -ffp-contract=off, never with -ffast-math. */
{self.prototype};

/* Runs the network on numbers that it makes itself. 0: it computes what it should; 1: the
   compiler makes one operation of a product and a sum; 2: other outputs come out; 100 + n:
   step n, as {self.name}.c counts them, writes other integers. Its buffers take memory only in
   programs that call it, if the linker drops sections; {macro}_NO_SELF_TEST leaves it out. */
int {self.name}_self_test(void);

#ifdef __cplusplus
}}
#endif
#endif
"""


def interface_of(whole: WholeProgram, name: str) -> Interface:
    """The inputs and outputs of a program.

    Raises:
        UnsupportedModelError: one that holds neither floats nor, of inputs, bytes.
    """
    inputs = [
        Parameter(
            _numbered("input", number, len(whole.inputs)),
            _ctype(tensor, takes_bytes=True),
            tensor.shape[1:],
            tensor.name,
            tensor,
        )
        for number, tensor in enumerate(whole.inputs, 1)
    ]
    count = len(whole.outputs) + len(whole.constants)
    outputs = [
        Parameter(
            _numbered("output", number, count),
            _ctype(tensor),
            tensor.shape[1:],
            tensor.name,
            tensor,
        )
        for number, tensor in enumerate(whole.outputs, 1)
    ]
    outputs += [
        Parameter(
            _numbered("output", number, count),
            "float",
            values.shape[1:],
            said,
            values=values,
        )
        for number, (said, values) in enumerate(
            whole.constants.items(), len(whole.outputs) + 1
        )
    ]
    return Interface(name, tuple(inputs), tuple(outputs))


def _numbered(name: str, number: int, count: int) -> str:
    return name if count == 1 else f"{name}_{number}"


def _ctype(tensor: ProgramTensor, takes_bytes: bool = False) -> str:
    if takes_bytes and tensor.dtype == np.uint8:
        return "uint8_t"
    if tensor.dtype != np.float32:
        raise UnsupportedModelError(
            f'to_c: "{tensor.name}" holds {tensor.dtype}, and inputs and outputs in C are '
            "floats.\n  Fix: end the model before it."
        )
    return "float"


def _copied(item: Parameter, memory: Memory) -> str:
    """Copies an output from where steps left it."""
    tensor, sizes, count = item.tensor, item.shape, item.count
    view = TensorView(tensor.buffer, tensor.first)
    layer = Layer(KernelStep(StepKind.LOAD, (1, 1, 1), 1, view), 0, memory)
    _, read = layer.reads_reals(view)
    # Pixels and channels in the order of the output, and where these lie in memory.
    if tensor.is_turned:
        pixels, channels = math.prod(sizes[1:]), sizes[0]
        at = sum_of(times(pixels, "c"), "i")
    else:
        channels = tensor.channels if tensor.pixel else count
        pixels = count // channels
        at = sum_of(times(channels, "i", pixels), "c")
    of = sum_of(times(tensor.pixel or channels, "i", pixels), "c")
    begin = filled(layer.address(view), {r: s.text for r, s in layer.slots.items()})
    value = read.format(f"({begin})[{of}]")
    return loop("i", pixels, loop("c", channels, f"{item.name}[{at}] = {value};"))
