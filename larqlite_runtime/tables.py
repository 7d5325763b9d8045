"""Tables as plain text, and what every table does where a terminal is narrow.

Columns that do not fit side by side stand in parts below one another, each with the first
column again; one that is too wide for that is broken at spaces, never within a number. In a
file or a pipe a table is as wide as it is. `larqlite._tables` lays those of `rich` out by the
same rule.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

# A number with its unit is no wider than this, so that none is ever broken.
_LEAST = 20


def width_of_the_terminal() -> int | None:
    """Columns that a line may take; None where the output is no terminal.

    On a terminal the variable COLUMNS comes first. Elsewhere it says nothing: programs
    that read lines from their user (readline) set it for all that they start.
    """
    return shutil.get_terminal_size().columns if _is_terminal() else None


def parts(widths: Sequence[int], limit: int | None) -> list[list[int]]:
    """Which columns stand side by side; the first one stands in every part.

    Args:
        widths: of the columns, with what is between them.
        limit: of a line; None for no limit.

    >>> parts([10, 30, 30, 30], 80), parts([10, 30, 30, 30], None)
    ([[0, 1, 2], [0, 3]], [[0, 1, 2, 3]])
    """
    if limit is None or sum(widths) <= limit or len(widths) < 3:
        return [list(range(len(widths)))]
    found: list[list[int]] = []
    for column in range(1, len(widths)):
        if found and sum(widths[i] for i in [*found[-1], column]) <= limit:
            found[-1].append(column)
        else:
            found.append([0, column])
    return found


def narrowed(widths: Sequence[int], limit: int | None) -> list[int]:
    """How wide columns that stand side by side are, so that a line is no longer.

    The widest ones get narrower, down to a width in which any number fits.

    Args:
        widths: that they would like, with what is between them.
        limit: of a line; None for no limit.

    >>> narrowed([40, 70, 10], 80), narrowed([40, 30], None)
    ([35, 35, 10], [40, 30])
    """
    found = list(widths)
    while limit is not None and sum(found) > limit and max(found) > _LEAST:
        widest = max(found)
        next_ = max([width for width in found if width < widest], default=_LEAST)
        places = [place for place, width in enumerate(found) if width == widest]
        too_much = -(-(sum(found) - limit) // len(places))
        for place in places:
            found[place] = max(widest - too_much, next_, _LEAST)
    return found


def folded(text: str, indent: int = 0) -> str:
    """Text as wide as the terminal, broken at spaces; as it is where there is none.

    Args:
        text: one or more lines.
        indent: of what stands behind something else: where its next lines begin.
    """
    limit = _limit()
    if limit is None:
        return text
    width = max(limit - indent, _LEAST)
    lines = [line for each in text.split("\n") for line in _folded(each, width)]
    return f"\n{' ' * indent}".join(lines)


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a frame, its columns to the left.

    >>> print(text(("engine", "ms"), [("larqlite", "1.5")]))
    +----------------+
    | engine     ms  |
    +----------------+
    | larqlite   1.5 |
    +----------------+
    """
    lines: list[str] = []
    for (head, *body), widths, _ in _parts_of([header, *rows], margin=3):
        edge = f"+{'-' * (sum(widths) + 3 * len(widths) - 1)}+"
        shown = [
            [f"| {_joined(line, widths, '   ')} |" for line in lines_of]
            for lines_of in (head, *body)
        ]
        lines += [edge, *shown[0], edge, *(line for each in shown[1:] for line in each)]
        lines.append(edge)
    return "\n".join(lines)


def aligned(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """A table without a frame, its columns to the left but for those of numbers.

    >>> print(aligned(("engine", "ms"), [("larqlite", "1.5"), ("other", "20")], right=[1]))
    engine     ms
    larqlite  1.5
    other      20
    """
    found = []
    for cells, widths, columns in _parts_of([header, *rows], margin=2):
        is_right = [column in right for column in columns]
        lines = [
            _joined(line, widths, "  ", is_right).rstrip()
            for lines_of in cells
            for line in lines_of
        ]
        found.append("\n".join(lines))
    return "\n\n".join(found)


def shortened(text: str, limit: int = 48) -> str:
    """A text of at most so many characters on a terminal; all of it in a file or a pipe."""
    if len(text) <= limit or width_of_the_terminal() is None:
        return text
    return text[: limit - 3] + "..."


def _parts_of(
    cells: Sequence[Sequence[str]], margin: int
) -> Iterator[tuple[list[list[list[str]]], list[int], list[int]]]:
    """What stands side by side: the lines of each row, the widths of the columns, and
    which columns these are."""
    wanted = [max(map(len, column)) for column in zip(*cells, strict=True)]
    limit = _limit()
    for columns in parts([width + margin for width in wanted], limit):
        widths = [wanted[column] + margin for column in columns]
        widths = [width - margin for width in narrowed(widths, limit)]
        rows = []
        for row in cells:
            texts = [
                _folded(row[column], width)
                if len(row[column]) > width
                else [row[column]]
                for column, width in zip(columns, widths, strict=True)
            ]
            rows.append(
                [list(line) for line in itertools.zip_longest(*texts, fillvalue="")]
            )
        yield rows, widths, columns


def _joined(
    cells: Sequence[str],
    widths: Sequence[int],
    between: str,
    right: Sequence[bool] = (),
) -> str:
    right = right or [False] * len(cells)
    return between.join(
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    )


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()), width // 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)


def _limit() -> int | None:
    width = width_of_the_terminal()
    return None if width is None else width - 1


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # a stream of tests, or a closed one
        return False
