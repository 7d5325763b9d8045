"""Value types: which few values a tensor holds, as integers and as planes of bits."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable

import numpy as np

from larqlite_runtime.names import near_matches

# More planes of bits than these do not fit what kernels work on.
MOST_BITS = 8
# Of a magnitude of an input, so that planes of its bits are no more.
MOST_INTEGER = (1 << MOST_BITS) - 1


@dataclasses.dataclass(frozen=True)
class ValueType:
    """Values that are integers times a scale, and the bits that stand for these.

        value = scale * integer / steps + offset
        integer = (sum of weight_p * plane_p + plane_offset) / 2^halved

    where each plane of bits says +1 (bit 0) or -1 (bit 1).

    Attributes:
        low, high: the least and the largest integer.
        bits: planes of a value; 0 if there are none, as for sums.
        steps: what a file multiplies values with to get integers; where there are a scale
            and an offset, it has the integers themselves.
        scale, offset: of the whole tensor.
        has_equal_planes: whether all planes weigh 1; else plane p weighs 2^p. So "ternary"
            and the integers from -1 to 1 have the same values, and other bits.

    >>> steps(2).bits_of(3), sign().bits_of(0)
    ((0, 0), None)
    """

    low: int
    high: int
    bits: int
    steps: int = 1
    scale: float = 1.0
    offset: float = 0.0
    has_equal_planes: bool = False

    @property
    def is_scaled(self) -> bool:
        """Whether there is a scale or an offset."""
        return (self.scale, self.offset) != (1.0, 0.0)

    @property
    def unscaled(self) -> ValueType:
        """The type of the integers, without scale and offset."""
        return dataclasses.replace(self, scale=1.0, offset=0.0)

    @property
    def word(self) -> str:
        """What nodes of a file say of such an input.

        "sign" (-1, +1), "heaviside" (0, 1), "ternary" (-1, 0, +1), "steps" (0, 1/n, ..., 1
        with n = 2^bits - 1), "integer" (sums of another node), or "integers:low:high".
        """
        if self.bits == 0:
            return "integer"
        if self.levels == 2 and self.steps == 1:
            return "sign" if self.low < 0 else "heaviside"
        if self.has_equal_planes:
            return "ternary"
        if self.low == 0 and self.steps == self.high > 1:
            return "steps"
        return f"integers:{self.low}:{self.high}"

    @property
    def largest(self) -> int:
        """The largest magnitude of an integer."""
        return max(-self.low, self.high)

    @property
    def apart(self) -> int:
        """The distance of two integers that follow each other."""
        return 2 if self.bits == 1 and self.low == -self.high else 1

    @property
    def levels(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.apart + 1

    @property
    def pad_values(self) -> tuple[float, ...]:
        """What may be put around such a tensor."""
        return (0.0, 1.0) if self.low == 0 else (0.0, 1.0, -1.0)

    # Planes of bits.

    @property
    def weights(self) -> tuple[int, ...]:
        """What each plane weighs."""
        return tuple(1 if self.has_equal_planes else 1 << p for p in range(self.bits))

    @property
    def weight(self) -> int:
        """What all planes weigh together."""
        return sum(self.weights)

    @property
    def halved(self) -> int:
        """How often the sum of planes is halved."""
        return 2 - self.apart

    @property
    def plane_offset(self) -> int:
        """What is added to the sum of planes."""
        return (self.low << self.halved) + self.weight

    def value_of(self, bits: tuple[int, ...]) -> float:
        """The integer that bits stand for."""
        pairs = zip(self.weights, bits, strict=True)
        total = sum(weight * (1 - 2 * bit) for weight, bit in pairs)
        return (total + self.plane_offset) / (1 << self.halved)

    def bits_of(self, integer: int) -> tuple[int, ...] | None:
        """The bits that stand for an integer; None if there are none."""
        for code in range(1 << self.bits):
            bits = tuple(code >> plane & 1 for plane in range(self.bits))
            if self.value_of(bits) == integer:
                return bits
        return None

    # Levels, counted from the lowest.

    def values(self) -> frozenset[float]:
        """All values, float64."""
        integers = range(self.low, self.high + 1, self.apart)
        return frozenset(
            self.scale * integer / self.steps + self.offset for integer in integers
        )

    def levels_of(self, planes: list[np.ndarray]) -> np.ndarray:
        """The number of the level of each value; a plane is true where it says -1."""
        return sum(
            weight * (~plane).astype(np.int64)
            for weight, plane in zip(self.weights, planes, strict=True)
        )

    def values_of(self, levels: np.ndarray) -> np.ndarray:
        """The values of levels, float32; without scale and offset."""
        integers = (self.low + self.apart * levels).astype(np.float32)
        return integers / np.float32(self.steps)


@dataclasses.dataclass(frozen=True)
class TableType:
    """Values of a table: the sum of its lowest level and of the steps below a value.

        value = level_0 + sum over j of (level_j - level_(j - 1)) * above_j

    where above_j is 1 from level j on, else 0: one tensor of `heaviside` for each step.

    Attributes:
        table: the levels, rising; at most 16.
    """

    table: tuple[float, ...]
    largest = 1
    is_scaled = True

    @property
    def offset(self) -> float:
        """The lowest level."""
        return self.table[0]

    @property
    def steps_up(self) -> list[float]:
        """From each level to the next."""
        return list(np.diff(np.array(self.table, np.float64)))

    @property
    def middles(self) -> list[float]:
        """Between each level and the next."""
        levels = np.array(self.table, np.float64)
        return list((levels[1:] + levels[:-1]) / 2)

    def values(self) -> frozenset[float]:
        """All values."""
        return frozenset(self.table)


def table(levels: Iterable[float]) -> TableType:
    """Up to 16 levels.

    Raises:
        ValueError: there are more, fewer than two, or they do not rise.
    """
    found = tuple(float(np.float32(level)) for level in levels)
    rise = all(a < b for a, b in itertools.pairwise(found))
    if not 2 <= len(found) <= 16 or not rise or not np.isfinite(found).all():
        raise ValueError(
            f"levels={list(found)} are not 2 to 16 numbers that rise.\n"
            "  Fix: sort them, and leave out equal ones."
        )
    return TableType(found)


def sign() -> ValueType:
    """-1 and +1."""
    return ValueType(-1, 1, 1)


def heaviside() -> ValueType:
    """0 and 1."""
    return ValueType(0, 1, 1)


def ternary() -> ValueType:
    """-1, 0 and +1."""
    return ValueType(-1, 1, 2, has_equal_planes=True)


def steps(bits: int) -> ValueType:
    """0, 1/n, ..., 1 with n = 2^bits - 1; 0 and 1 if there is one bit."""
    last = (1 << bits) - 1
    return ValueType(0, last, bits, last)


def integers(low: int, high: int) -> ValueType:
    """The integers from `low` to `high`, 0 among them.

    >>> integers(-8, 7).bits, integers(-7, 7).bits
    (4, 4)
    """
    return ValueType(low, high, (high - low).bit_length())


def sums(largest: int) -> ValueType:
    """Sums of a packed node, none of a larger magnitude."""
    return ValueType(-largest, largest, 0)


AnyType = ValueType | TableType


def united_type(*types: AnyType | None) -> AnyType | None:
    """The type of tensors put together (concatenated, multiplied by 0), or None.

    >>> united_type(sign(), heaviside()) == ternary(), united_type(sign(), None)
    (True, None)
    """
    if None in types:
        return None
    return _smallest(frozenset().union(*(each.values() for each in types)), *types)


def padded_type(value_type: AnyType | None, pad_value: float) -> AnyType | None:
    """The type of a tensor with a value around it, or None.

    >>> padded_type(sign(), 0.0) == ternary(), padded_type(sign(), 1.0) == sign()
    (True, True)
    """
    if value_type is None:
        return None
    return _smallest(value_type.values() | {float(pad_value)}, value_type)


def _smallest(values: frozenset[float], *candidates: AnyType) -> AnyType | None:
    fitting = (c for c in (*candidates, ternary()) if values <= c.values())
    return next(fitting, None)


_INTEGERS = re.compile(r"integers:(-?[0-9]{1,3}):([0-9]{1,3})")
_NAMED = {"sign": sign, "heaviside": heaviside, "ternary": ternary}


def named(text: str) -> ValueType | None:
    """The type that converters may name by a string; None if its values are too many.

    Args:
        text: "sign", "heaviside", "ternary", "steps:k" of k bits, or "integers:low:high".

    Raises:
        ValueError: another string.

    >>> named("steps:2") == steps(2)
    True
    """
    word, _, bits = text.partition(":")
    if word == "integers" and (found := type_of_input(text, 1)) is not None:
        return found
    if word == "steps" and bits.isdecimal() and int(bits) >= 1:
        return steps(int(bits)) if int(bits) <= MOST_BITS else None
    if text not in _NAMED:
        raise ValueError(
            f'levels="{text}" is no name of few values.'
            f"{near_matches(word, (*_NAMED, 'steps', 'integers'))}\n"
            '  Fix: "sign", "heaviside", "ternary", "steps:k" with k bits, '
            '"integers:low:high" with 0 among them, or a ValueType.'
        )
    return _NAMED[text]()


def type_of_input(word: str, input_steps: float) -> ValueType | None:
    """What a node of a file says that its input holds; None if kernels take no such bits.

    Args:
        word: its attribute `input`.
        input_steps: its attribute of that name, 1 if it has none.

    >>> type_of_input("steps", 15.0) == steps(4)
    True
    """
    if found := _INTEGERS.fullmatch(word):
        low, high = map(int, found.groups())
        made = integers(low, high)
        fits = low <= 0 < high and made.bits <= MOST_BITS and input_steps == 1
        return made if fits else None
    if word == "steps":
        bits = int(input_steps).bit_length()
        fits = input_steps == (1 << bits) - 1 and 1 <= bits <= MOST_BITS
        return steps(bits) if fits else None
    made = _NAMED.get(word)
    return made() if made is not None and input_steps == 1 else None
