"""Names that a user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
