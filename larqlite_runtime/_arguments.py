"""Arguments that are no arrays: numbers of things, names of tensors."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from larqlite_runtime._errors import ArgumentError


def whole_number(name: str, value: object, least: int, most: int, fix: str) -> int:
    """A number of things, as a Python integer.

    Args:
        name: of the argument, with the function: `"load: threads"`.
        value: what was given.
        least, most: what is allowed.
        fix: what to give instead.

    Raises:
        ArgumentError: no integer (a truth value is none), or out of range.

    >>> whole_number("load: threads", 4, 1, 8, "")
    4
    """
    number = None
    if not isinstance(value, bool) and type(value).__name__ != "bool_":
        try:
            number = operator.index(value)
        except TypeError:
            number = None
    if number is None:
        raise ArgumentError(f"{name}={value!r} is no integer.\n  Fix: {fix}")
    if not least <= number <= most:
        raise ArgumentError(
            f"{name}={value!r} is out of range, {least:,} to {most:,}.\n  Fix: {fix}"
        )
    return number


def tensor_names(name: str, value: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of tensors, or None for those of the model.

    Raises:
        ArgumentError: one string, which is no list of names, none at all, or what is no
            string.
    """
    if value is None:
        return None
    if isinstance(value, str):
        raise ArgumentError(
            f"load: {name}={value!r} is one string, but a list of names is needed.\n"
            f"  Fix: {name}=[{value!r}]."
        )
    try:
        names = tuple(value)
    except TypeError:
        names = ()
    if not names or not all(isinstance(item, str) for item in names):
        raise ArgumentError(
            f"load: {name}={value!r} is no list of names.\n  Fix: leave it out, or give "
            f'names of tensors, {name}=["..."].'
        )
    return names
