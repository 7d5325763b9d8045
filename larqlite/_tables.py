"""Tables as text: the look they share, whatever the terminal is."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larqlite_runtime import tables
from larqlite_runtime.notebook import ShownTable, ShowsTables

# Plain characters without lines between columns: equal in every terminal and log.
FRAME = Box("+--+\n|  |\n+--+\n|  |\n+--+\n+--+\n|  |\n+--+\n", ascii=True)


def show(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    """Prints a table of text, its columns to the left.

    Args:
        title: a line before it.
        header: titles of the columns.
        rows: the cells.
        notes: lines after it.
        print_fn: takes the text instead of the standard output.
    """
    table = Table(box=FRAME)
    for name, width in zip(header, widths_of([header, *rows]), strict=True):
        table.add_column(Text(name), no_wrap=True, width=width)
    for cells in rows:
        table.add_row(*map(Text, cells))
    if print_fn is None:
        write(Console(force_jupyter=False), title, table, notes)
        return
    text = io.StringIO()
    plain = Console(
        file=text, color_system=None, force_terminal=False, force_jupyter=False
    )
    write(plain, title, table, notes)
    print_fn(text.getvalue().rstrip("\n"))


def show_tables(
    shown: Iterable[ShownTable], print_fn: Callable[[str], Any] | None = None
) -> None:
    """Prints the tables of a report, see `show`."""
    for each in shown:
        show(each.title, each.header, each.rows, each.notes, print_fn)


def print_tables(
    report: ShowsTables, print_fn: Callable[[str], Any] | None = None
) -> None:
    """Prints the report as a table: `print` of reports that have it as a method.

    Args:
        report: what has tables.
        print_fn: takes the text instead of the standard output.
    """
    show_tables(report._shown(), print_fn)
    if print_fn is None:
        report._is_printed()


def as_text(shown: Iterable[ShownTable]) -> str:
    """The tables of a report as text."""
    lines: list[str] = []
    show_tables(shown, lines.append)
    return "\n".join(lines)


def widths_of(rows: list) -> list[int]:
    """The width of each column, so that rich need not measure every cell again."""
    return [max(map(_width, column)) for column in zip(*rows, strict=True)]


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n")))


def write(console: Console, title: str, table: Table, notes: Sequence[str]) -> None:
    """Writes as wide as the content needs; where a terminal is narrower, as
    `larqlite_runtime.tables` says."""
    unlimited = Console(file=io.StringIO(), width=1_000_000, force_jupyter=False)
    console.width = unlimited.measure(table).maximum
    console.print(Text(tables.folded(title)), soft_wrap=True)
    for part in _parts(table):
        console.print(part)
    for note in notes:
        console.print(Text(tables.folded(note)), soft_wrap=True)


def _parts(table: Table) -> Iterator[Table]:
    limit = tables.width_of_the_terminal()
    # Each column has its width, a margin on both sides, and one sign beside it.
    widths = [(column.width or 0) + 3 for column in table.columns]
    limit = None if limit is None else limit - 2
    for chosen in tables.parts(widths, limit):
        narrow = tables.narrowed([widths[index] for index in chosen], limit)
        part = copy.copy(table)
        part.columns = []
        for place, index in enumerate(chosen):
            column = copy.copy(table.columns[index])
            column._index = place
            if narrow[place] < widths[index]:
                column.no_wrap, column.overflow = False, "fold"
                column.width = narrow[place] - 3
            part.columns.append(column)
        yield part
