"""Checks of the arguments of quantizers."""

from __future__ import annotations

import math
import numbers

from larqlite.errors import ArgumentError

__all__ = ["bits", "boolean", "number"]

MAX_BITS = 16


def bits(where: str, value) -> int:
    """A whole number of bits from 1 to 16, or an ArgumentError."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value <= MAX_BITS:
        raise ArgumentError(
            f"{where}: num_bits must be a whole number from 1 to {MAX_BITS}, got "
            f"{value!r}.\n  Fix: num_bits=8, or fewer."
        )
    return int(value)


def boolean(where: str, argument: str, value) -> bool:
    """True or False, or an ArgumentError."""
    if not isinstance(value, bool) and value not in (0, 1):
        raise ArgumentError(
            f"{where}: {argument} must be True or False, got {value!r}.\n"
            f"  Fix: {argument}=True, or {argument}=False."
        )
    return bool(value)


def number(where: str, argument: str, value) -> float:
    """A finite number, or an ArgumentError."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise ArgumentError(
            f"{where}: {argument} must be a finite number, got {value!r}.\n"
            f"  Fix: {argument}=6.0, or another float."
        )
    return float(value)
