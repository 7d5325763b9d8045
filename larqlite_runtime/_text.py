"""Names and shapes as short text for messages, whatever a file has put into them."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 80


def quoted(name: object, mark: str = '"', longest: int = LONGEST) -> str:
    """A name in quotation marks, at most `longest` characters of it, on one line.

    >>> quoted("conv")
    '"conv"'
    """
    text = str(name)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{mark}{text}{mark}"


def shape_text(shape: Sequence[int | None]) -> str:
    """Sizes as a reader knows them.

    >>> shape_text((None, 3, 4))
    '(batch, 3, 4)'
    """
    sizes = ["batch" if length is None else quoted(length, "") for length in shape[:8]]
    sizes += ["..."] * (len(shape) > 8)
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
