"""Tables of `lqz list`: as `lq`'s, with cells of several lines and numbers to the right."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from larqlite_runtime import tables


def text(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> str:
    """A table as wide as its content; where a terminal is narrower, in parts.

    Args:
        header: titles of the columns.
        rows: the cells; one with line breaks takes several lines.
        right: titles of the columns whose cells stand to the right.

    >>> print(text(("name", "count"), [("a", "7"), ("b\\nc", "1,000")], right=["count"]))
    +--------------+
    | name   count |
    +--------------+
    | a          7 |
    | b      1,000 |
    | c            |
    +--------------+
    """
    lines: list[tuple[str, ...]] = []
    for row in rows:
        cells = [cell.split("\n") for cell in row]
        lines += itertools.zip_longest(*cells, fillvalue="")
    columns = []
    for title, *cells in zip(header, *lines, strict=True):
        width = max(map(len, (title, *cells)))
        cells = [title, *cells]
        columns.append([c.rjust(width) if title in right else c for c in cells])
    first, *others = zip(*columns, strict=True)
    return tables.text(first, others)
