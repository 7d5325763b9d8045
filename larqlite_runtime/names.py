"""Names that a user may have meant, and names that nothing has yet."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Container, Iterable


def near_matches(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that look like `name`, or an empty string.

    >>> near_matches("ste_sing", ["ste_sign", "swish_sign"])
    ' Did you mean "ste_sign"?'
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not close:
        folded = {item.lower().replace("_", ""): item for item in known}
        close = [
            folded[key]
            for key in difflib.get_close_matches(
                name.lower().replace("_", ""), folded, n=3, cutoff=0.6
            )
        ]
    if not close:
        return ""
    return " Did you mean " + " or ".join(f'"{item}"' for item in close) + "?"


def unique_name(wanted: str, taken: Container[str], first: int = 1) -> str:
    """`wanted`, or with the first number behind it that makes it another than all taken.

    Args:
        wanted: the name.
        taken: those that are not to be had.
        first: the first number.

    >>> unique_name("conv", {"conv", "conv_1"})
    'conv_2'
    >>> unique_name("conv", ())
    'conv'
    """
    numbered = (f"{wanted}_{number}" for number in itertools.count(first))
    names = itertools.chain([wanted], numbered)
    return next(name for name in names if name not in taken)
