"""Tables as plain text, in parts where a terminal is too narrow for all columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


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


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a frame, its columns to the left.

    >>> print(text(("engine", "ms"), [("larqlite", "1.5")]))
    +----------------+
    | engine     ms  |
    +----------------+
    | larqlite   1.5 |
    +----------------+
    """
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for columns in parts([width + 3 for width in widths], _limit()):
        body = [
            "   ".join(row[column].ljust(widths[column]) for column in columns)
            for row in cells
        ]
        edge = f"+{'-' * (len(body[0]) + 2)}+"
        head, *others = (f"| {line} |" for line in body)
        lines += [edge, head, edge, *others, edge]
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
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def shortened(text: str, limit: int = 48) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _limit() -> int | None:
    width = width_of_the_terminal()
    return None if width is None else width - 1


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # a stream of tests, or a closed one
        return False
