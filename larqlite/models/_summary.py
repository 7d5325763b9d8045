"""`summary(model)`: prints what a model costs as two tables, and returns it as data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import tf_keras
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larqlite.models._measure import measure
from larqlite.models._profile import ModelProfile
from larqlite.models._table import StatsTable, stats_table, totals_table

# Plain characters without lines between columns: equal in every terminal and log.
_FRAME = Box("+--+\n|  |\n+--+\n|  |\n+--+\n+--+\n|  |\n+--+\n", ascii=True)


def summary(
    model: tf_keras.Model,
    print_fn: Callable[[str], Any] | None = None,
    include_macs: bool = True,
    input_shape: Any = None,
) -> ModelProfile:
    """Prints a summary of a model's precisions, weights, memory and operations.

    The first table has a row per layer: the precision of its input ("-" if nothing
    quantizes it), its output shape (-1 for the batch), its weights by bit width, its
    memory and its multiply-accumulates by the wider of weight and input, for one
    sample. The second has the totals. What is not known is "?" with a footnote.

    Args:
        model: a built tf_keras model.
        print_fn: takes the text instead of the standard output: called once with
            each table.
        include_macs: whether to show multiply-accumulates and what follows from them.
        input_shape: sizes for what the model leaves open, batch first, e.g.
            `(None, 224, 224, 3)`.

    Returns:
        The same as data, see `lq.models.profile`.

    Raises:
        UnbuiltModelError: the model has no weights yet.
        KerasVersionError: it is a Keras 3 model.
        ArgumentError: it is no model, or `input_shape` does not fit it.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(8, kernel_quantizer="ste_sign", input_shape=(16,),
        ...         kernel_constraint="weight_clip", use_bias=False)], name="tiny")
        >>> costs = lq.models.summary(model, include_macs=False)  # doctest: +ELLIPSIS
        tiny stats
        +------------------------------------------------+
        | Layer        Input prec.  Outputs  ...
        >>> costs.deployed_bytes
        16
    """
    profile = measure(model, input_shape, "lq.models.summary")
    stats = stats_table(profile, include_macs)
    tables = (
        (_stats(profile.name, stats), stats.footnotes),
        (_totals(profile, include_macs), ()),
    )
    for table, footnotes in tables:
        if print_fn is None:
            _print(table, footnotes)
        else:
            print_fn(_as_text(table, footnotes))
    return profile


def _stats(name: str, stats: StatsTable) -> Table:
    table = _framed(f"{name} stats", show_footer=True)
    for title, total in zip(stats.header, stats.totals, strict=True):
        justify = "right" if table.columns else "left"
        table.add_column(Text(title), Text(total), justify=justify, no_wrap=True)
    for cells in stats.rows:
        table.add_row(*map(Text, cells))
    return table


def _totals(profile: ModelProfile, include_macs: bool) -> Table:
    table = _framed(f"{profile.name} summary", show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    for cells in totals_table(profile, include_macs):
        table.add_row(*map(Text, cells))
    return table


def _framed(title: str, **options) -> Table:
    return Table(title=Text(title), title_justify="left", box=_FRAME, **options)


def _print(table: Table, footnotes: tuple[str, ...]) -> None:
    """To the standard output as it is now, as wide as the table needs."""
    console = Console(force_jupyter=False, highlight=False, soft_wrap=True)
    console.width = _width(table, footnotes)
    _write(console, table, footnotes)


def _as_text(table: Table, footnotes: tuple[str, ...]) -> str:
    text = io.StringIO()
    width = _width(table, footnotes)
    console = Console(file=text, width=width, color_system=None, force_terminal=False)
    _write(console, table, footnotes)
    return text.getvalue().rstrip("\n")


def _write(console: Console, table: Table, footnotes: tuple[str, ...]) -> None:
    console.print(table)
    for note in footnotes:
        console.print(Text(note))


def _width(table: Table, footnotes: tuple[str, ...]) -> int:
    """Columns of text that the content needs, whatever the terminal has."""
    unlimited = Console(file=io.StringIO(), width=1_000_000)
    return max(unlimited.measure(table).maximum, *map(len, footnotes), 1)
