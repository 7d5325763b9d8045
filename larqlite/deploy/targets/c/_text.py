"""Pieces of C: literals, tables, loops, comments, places, and what numbers are stored in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

WIDTH = 88  # of a line of a table
# Words of C99 and C++ that no identifier may be, and headers of C that no file may hide.
_TAKEN = frozenset(
    re.findall(
        r"\w+",
        """auto bool break case catch char class const continue default delete do double else
        enum extern false float for friend goto if inline int long main mutable namespace
        new operator private protected public register restrict return short signed sizeof
        static struct switch template this throw true try typedef union unsigned using
        virtual void volatile while assert complex ctype errno fenv inttypes limits locale
        math setjmp signal stdarg stdbool stddef stdint stdio stdlib string tgmath time wchar
        wctype""",
    )
)
# Types of tables, the smallest first.
_INTEGERS = {
    "int8_t": (-(1 << 7), (1 << 7) - 1),
    "uint8_t": (0, (1 << 8) - 1),
    "int16_t": (-(1 << 15), (1 << 15) - 1),
    "uint16_t": (0, (1 << 16) - 1),
    "int32_t": (-(1 << 31), (1 << 31) - 1),
    "uint32_t": (0, (1 << 32) - 1),
}
# Where the text of a step has what is its own: steps alike in all else share a function.
_SLOT = re.compile(r"@(\w+)@")
BYTES = {
    "int8_t": 1,
    "uint8_t": 1,
    "int16_t": 2,
    "uint16_t": 2,
    "int32_t": 4,
    "uint32_t": 4,
    "float": 4,
    "double": 8,
}


def identifier(text: str) -> str:
    """A name of C for a name of anything.

    >>> identifier("block_1/conv:0"), identifier("2nd"), identifier("int")
    ('block_1_conv_0', 'n2nd', 'int_')
    """
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_") or "network"
    name = f"n{name}" if name[0].isdigit() else name
    return f"{name}_" if name in _TAKEN else name


def comment(text: str) -> str:
    """A comment of one or more lines; what would end it, or no ASCII, is left out.

    >>> comment("a */ b")
    '/* a * / b */'
    """
    clean = text.encode("ascii", "replace").decode().replace("*/", "* /")
    lines = [
        folded
        for line in clean.replace("/*", "/ *").split("\n")
        for folded in (textwrap.wrap(line, WIDTH - 3) or [""])
    ]
    return "/* " + "\n   ".join(lines) + " */"


def real(value: float) -> str:
    """A float32 as a literal that every compiler reads as exactly this number.

    >>> real(0.1), real(2), real(-1e-40)
    ('0.1F', '2.0F', '-1e-40F')
    """
    value = np.float32(value)
    if np.isnan(value):
        raise ValueError("NaN has no literal in C")
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = str(value)
    return f"{text if any(mark in text for mark in '.e') else f'{text}.0'}F"


def whole(value: int) -> str:
    """A literal of type int32_t.

    >>> whole(-5), whole(-(1 << 31))
    ('-5', '(-2147483647 - 1)')
    """
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(int(value))


def word(value: int) -> str:
    """A literal of type uint32_t."""
    return f"0x{int(value):08x}U"


def integer_type(array: np.ndarray) -> str:
    """The smallest type that holds all numbers of a table.

    >>> integer_type(np.array([-1, 200]))
    'int16_t'
    """
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    return next(
        name
        for name, (least, most) in _INTEGERS.items()
        if least <= low and high <= most
    )


def literals(array: np.ndarray, ctype: str) -> list[str]:
    """The numbers of a flat array, each as C writes it."""
    if ctype == "float":
        if not np.isfinite(array).all():
            return [real(value) for value in array]
        texts = array.astype(np.float32).astype("U").tolist()
        return [
            f"{text if '.' in text or 'e' in text else f'{text}.0'}F" for text in texts
        ]
    if ctype == "uint32_t":
        return [word(value) for value in array.tolist()]
    if ctype == "int32_t":
        return [whole(value) for value in array.tolist()]
    return [str(value) for value in array.tolist()]


def table(name: str, array: np.ndarray, ctype: str, said: str) -> str:
    """A constant table; its innermost axis begins a new line."""
    flat = array.reshape(-1)
    row = array.shape[-1] if array.ndim > 1 else flat.size
    lines = [
        line
        for begin in range(0, flat.size, max(row, 1))
        for line in _wrapped(literals(flat[begin : begin + row], ctype))
    ]
    body = "\n".join(f"  {line}" for line in lines)
    head = f"static const {ctype} {name}[{flat.size}] = {{"
    return f"{comment(said)}\n{head}\n{body.rstrip(',')}\n}};\n"


def _wrapped(words: list[str]) -> list[str]:
    """Lines of words with a comma behind each; of many thousands `textwrap` takes minutes."""
    found, line, room = [], [], WIDTH - 2
    for text in words:
        room -= len(text) + 2
        if room < -1 and line:
            found.append(" ".join(line))
            line, room = [], WIDTH - 2 - len(text) - 2
        line.append(f"{text},")
    return [*found, " ".join(line)] if line else found


def loop(variable: str, count: int, body: str) -> str:
    """A loop from 0 up; without one where it is run once and nobody asks for the number."""
    if count == 1 and not re.search(rf"\b{variable}\b", body):
        return body
    head = f"for (int32_t {variable} = 0; {variable} < {count}; ++{variable}) {{"
    return f"{head}\n{indented(body)}\n}}"


def indented(text: str) -> str:
    """Two blanks before every line."""
    return textwrap.indent(text, "  ")


def lines(*parts: str) -> str:
    """Parts that are not empty, each from a new line on."""
    return "\n".join(part for part in parts if part)


def sum_of(*terms: str) -> str:
    """Terms joined by plus signs, "0" if there are none.

    >>> sum_of("a", "", "2 * b"), sum_of("")
    ('a + 2 * b', '0')
    """
    return " + ".join(term for term in terms if term and term != "0") or "0"


def times(stride: int | str, variable: str, count: int = 2) -> str:
    """`stride * variable`; nothing where the variable is always 0.

    >>> times(3, "x"), times(1, "x"), times(3, "x", count=1)
    ('3 * x', 'x', '')
    """
    if not stride or count == 1:
        return ""
    return variable if stride == 1 else f"{stride} * {variable}"


def place(
    sizes: Sequence[int], strides: Sequence[int | str], variables: Sequence[str]
) -> str:
    """Where the element at some variables lies.

    >>> place((1, 8, 8), (0, 80, 8), "dyx")
    '80 * y + 8 * x'
    """
    return sum_of(
        *(
            times(stride, variable, size)
            for size, stride, variable in zip(sizes, strides, variables, strict=True)
        )
    )


class Slot(NamedTuple):
    """What a step has of its own.

    Attributes:
        ctype: its type in C; of a pointer with the star.
        text: an expression that is constant.
    """

    ctype: str
    text: str


def slot_of(role: str) -> str:
    """The place in a text for what has a role in a step.

    >>> slot_of("weights")
    '@weights@'
    """
    return f"@{role}@"


def slots_in(text: str) -> list[str]:
    """The roles that have a place in a text, each once, in order.

    >>> slots_in("@to@[0] = @from@[@to@[1]];")
    ['to', 'from']
    """
    return list(dict.fromkeys(_SLOT.findall(text)))


def filled(text: str, names: Mapping[str, str]) -> str:
    """The text with an expression of C in each place.

    >>> filled("r = r * @scale@[c];", {"scale": "conv_scale"})
    'r = r * conv_scale[c];'
    """
    return _SLOT.sub(lambda found: names[found[1]], text)
