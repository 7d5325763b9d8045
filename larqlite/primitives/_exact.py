"""Which integers a type of numbers holds exactly, and which ones a width has.

Nothing here needs TensorFlow: types are named, as NumPy, TensorFlow and ONNX name them.
"""

from __future__ import annotations

from larqlite_runtime.format import EXACT

__all__ = [
    "FLOAT32_LIMIT",
    "FLOAT64_LIMIT",
    "INT32_LIMIT",
    "float_type",
    "float_type_with_halves",
    "half_step",
    "int_type",
    "signed_codes",
]

FLOAT32_LIMIT = EXACT
"""Up to here float32 holds every integer."""
FLOAT64_LIMIT = 2**53
"""Up to here float64 holds every integer."""
INT32_LIMIT = 2**31
"""Below this lie the magnitudes of int32."""


def float_type(limit: int) -> str:
    """The smallest float type that holds every integer up to `limit` exactly.

    Args:
        limit: the largest magnitude; above 2^53 no type does.

    >>> from larqlite.primitives import float_type
    >>> float_type(2**24), float_type(2**24 + 1)
    ('float32', 'float64')
    """
    return "float32" if limit <= FLOAT32_LIMIT else "float64"


def float_type_with_halves(limit: int) -> str:
    """That in which `floor(v * 2^-s + 0.5)` is exact for integers `|v| <= limit`: the half
    takes one more bit.

    >>> from larqlite.primitives import float_type_with_halves
    >>> float_type_with_halves(2**23), float_type_with_halves(2**23 + 1)
    ('float32', 'float64')
    """
    return float_type(2 * limit)


def int_type(limit: int) -> str:
    """int32, or int64 where magnitudes up to `limit` need it.

    >>> from larqlite.primitives import int_type
    >>> int_type(2**31 - 1), int_type(2**31)
    ('int32', 'int64')
    """
    return "int32" if limit < INT32_LIMIT else "int64"


def signed_codes(value_bits: int) -> tuple[int, int]:
    """The least and the greatest integer of so many bits and a sign: -2^v, 2^v - 1.

    >>> from larqlite.primitives import signed_codes
    >>> signed_codes(7)
    (-128, 127)
    """
    return -(2**value_bits), 2**value_bits - 1


def half_step(right):
    """What is added before a shift to the right by `right` bits, to round to the nearest
    integer, ties up: 2^(right - 1), and 0 for no shift.

    Args:
        right: an integer >= 0, or an array of integers.

    >>> from larqlite.primitives import half_step
    >>> [(n + half_step(2)) >> 2 for n in (-6, -2, 1, 2, 6)], half_step(0)
    ([-1, 0, 0, 1, 2], 0)
    """
    return (1 << right) >> 1
