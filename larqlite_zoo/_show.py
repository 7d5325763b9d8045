"""Models and cards as tables on the screen, for the command `lqz`."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from larqlite.errors import ArgumentError, near_matches
from larqlite.utils import memory_as_readable_str
from larqlite_runtime import tables
from larqlite_zoo._card import Card
from larqlite_zoo._card_tables import card_tables, size_of
from larqlite_zoo._figures import card
from larqlite_zoo._registered_models import list_models

_UNBROKEN = 100_000
_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def print_models(pattern: str = "*", console: Console | None = None) -> None:
    """Prints one line for each model whose name matches a shell pattern.

    Args:
        pattern: as in `larqlite_zoo.list_models`.
        console: to print on; the standard output by default.

    Raises:
        ArgumentError: no model matches.
    """
    names = list_models(pattern)
    if not names:
        known = list_models()
        raise ArgumentError(
            f'No model matches "{pattern}".\n'
            f"  Fix: one of {', '.join(known)}.{near_matches(pattern.strip('*'), known)}"
        )
    numbers = ("Input", "Parameters", "Size", "MACs", "1-bit MACs")
    header = ("Model", *numbers, "Top-1 accuracy (%)")
    printed = table(header, [_row(card(name)) for name in names], numbers)
    console = console or console_of_tables()
    for text in (
        printed,
        "Size: of the weights as deployed, packed at their bit widths. MACs: of one image "
        "of the input size given.",
        "Accuracy: as published by others, or measured by this repository. Sources and "
        "commands: lqz card NAME.",
    ):
        text = tables.folded(text) if text is not printed else text
        console.print(text, soft_wrap=True, markup=False, highlight=False)


def print_card(card: Card, console: Console | None = None) -> None:
    """Prints a card: facts, costs, accuracies with their sources, weight files.

    Args:
        card: from `larqlite_zoo.card`.
        console: to print on; the standard output by default.
    """
    console = console or console_of_tables()
    facts, costs, *lists = card_tables(card)
    _print_title(console, facts.title, card.function)
    console.print(_grid(facts.rows))
    _print_title(console, costs.title, "Costs")
    console.print(_grid(costs.rows))
    for each in lists:
        _print_title(console, each.title, each.title.partition(" (")[0])
        for (line,) in each.rows:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _print_title(console: Console, title: str, bold: str) -> None:
    console.print(f"[bold]{escape(bold)}[/]{escape(title.removeprefix(bold))}")


def _row(card: Card) -> tuple[str, ...]:
    macs = card.costs.macs
    return (
        card.name,
        size_of(card),
        _count(card.costs.parameters),
        memory_as_readable_str(8 * card.costs.deployed_bytes),
        _count(sum(macs.values())),
        _count(macs.get(1, 0)),
        _accuracies(card),
    )


def _accuracies(card: Card) -> str:
    """The first published and the last measured accuracy of each dataset."""
    published = {a.dataset: a.top1 for a in reversed(card.published)}
    measured = {m.dataset: m.top1 for m in card.measured}
    lines = [f"{top1:g} {dataset}" for dataset, top1 in published.items()]
    lines += [f"{top1:g} {dataset}, measured" for dataset, top1 in measured.items()]
    return "\n".join(lines) or "-"


def _grid(rows: Iterable[Sequence[str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, escape(value))
    return grid


def _count(number: int) -> str:
    for unit, letter in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return str(number)


def console_of_tables() -> Console:
    """The standard output; where it is no terminal, no line is broken."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNBROKEN)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> str:
    """A table as wide as its content; where a terminal is narrower, in parts.

    Args:
        header: titles of the columns.
        rows: the cells; one with line breaks takes several lines.
        right: titles of the columns whose cells stand to the right.

    >>> print(table(("name", "count"), [("a", "7"), ("b\\nc", "1,000")], right=["count"]))
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
