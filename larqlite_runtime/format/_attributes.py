"""What an attribute of an operation may hold: a kind, a range, a default."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

MAX_WINDOW = 65_535  # of a stride, a dilation, a pad, or one axis of a kernel
MAX_LENGTH = 16  # numbers in one attribute
REQUIRED = object()


class Attribute(NamedTuple):
    """One attribute of an operation.

    Attributes:
        kind: "int", "float", "str", "ints" or "floats".
        says: what is allowed, for messages.
        allows: whether a value of that kind is.
        default: of a file that does not give it; None: the rule of the operation
            finds one; `REQUIRED`: the file must give it.
    """

    kind: str
    says: str
    allows: Callable[[object], bool]
    default: object = None


def integer(low: int, high: int, default: object = REQUIRED) -> Attribute:
    """An integer in `low..high`.

    >>> integer(1, 8).allows(9)
    False
    """
    says = f"an integer, {low} to {high}"
    return Attribute("int", says, lambda value: low <= value <= high, default)


def flag(default: int = 0) -> Attribute:
    """0 or 1."""
    return integer(0, 1, default)


def only(value: int | str) -> Attribute:
    """The one value that is supported, which is also the default."""
    if isinstance(value, str):
        return choice(value)
    return Attribute("int", f"{value}", lambda given: given == value, value)


def number(default: object = REQUIRED, low: float = -math.inf) -> Attribute:
    """A finite number that is at least `low`."""
    says = "a finite number" + (f", at least {low}" if low > -math.inf else "")
    return Attribute(
        "float", says, lambda value: math.isfinite(value) and value >= low, default
    )


def choice(*values: str, default: object = None) -> Attribute:
    """One of a few words; the first is the default."""
    says = " or ".join(f'"{value}"' for value in values)
    default = values[0] if default is None else default
    return Attribute("str", says, lambda value: value in values, default)


def integers(low: int, high: int = MAX_WINDOW, default: object = None) -> Attribute:
    """At least one integer, each in `low..high`."""
    says = f"1 to {MAX_LENGTH} integers, each {low} to {high}"

    def allows(values: Sequence[int]) -> bool:
        return 1 <= len(values) <= MAX_LENGTH and all(low <= v <= high for v in values)

    return Attribute("ints", says, allows, default)


AXIS = integer(-8, 7)


def axis(default: object = REQUIRED) -> Attribute:
    """An axis; the rule of the operation checks that the tensor has it."""
    return AXIS._replace(default=default)


# Of what slides a window over an image; defaults are for the number of its axes.
CONVOLUTION = {
    "strides": integers(1),
    "dilations": integers(1),
    "pads": integers(0),
    "group": integer(1, MAX_WINDOW, 1),
}
