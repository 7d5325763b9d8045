"""`summary(model)`: prints what a model costs as two tables, and returns it as data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import tf_keras
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larqlite._tables import FRAME, widths_of, write
from larqlite.models._measure import measure
from larqlite.models._profile import ModelProfile
from larqlite.models._profile_tables import StatsTable, stats_table, totals_table


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
        model: a built tf_keras model, or one of Keras 3 (`lq.models.from_keras`).
        print_fn: takes the text instead of the standard output: called once with
            each table.
        include_macs: whether to show multiply-accumulates and what follows from them.
        input_shape: sizes for what the model leaves open, batch first, e.g.
            `(None, 224, 224, 3)`.

    Returns:
        The same as data, see `lq.models.profile`.

    Raises:
        UnbuiltModelError: the model has no weights yet.
        ArgumentError: it is no model, or `input_shape` does not fit it.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(8, kernel_quantizer="ste_sign", input_shape=(16,),
        ...         kernel_constraint="weight_clip", name="binary")], name="tiny")
        >>> costs = lq.models.summary(model, include_macs=False)
        tiny stats
        +--------------------------------------------------------------+
        |          Input prec.             # 1-bit   # 32-bit   Memory |
        | Layer          (bit)   Outputs       x 1        x 1     (kB) |
        +--------------------------------------------------------------+
        | binary             -   (-1, 8)       128          8     0.05 |
        +--------------------------------------------------------------+
        | Total                                128          8     0.05 |
        +--------------------------------------------------------------+
        tiny summary
        +------------------------------------------+
        | Total params                    136      |
        | Trainable params                136      |
        | Non-trainable params            0        |
        | Params as trained by Keras      136      |
        | Model size                      48.00 B  |
        | Model size (8-bit FP weights)   24.00 B  |
        | Float-32 Equivalent             544.00 B |
        | Compression Ratio of Memory     0.09     |
        | Deployed weights (packed)       48 B     |
        +------------------------------------------+
        >>> costs.deployed_bytes
        48
    """
    profile = measure(model, input_shape, "lq.models.summary")
    stats = stats_table(profile, include_macs)
    parts = (
        (f"{profile.name} stats", _stats(stats), stats.footnotes),
        (f"{profile.name} summary", _totals(profile, include_macs), ()),
    )
    for title, table, footnotes in parts:
        if print_fn is None:
            write(Console(force_jupyter=False), title, table, footnotes)
        else:
            text = io.StringIO()
            plain = Console(file=text, color_system=None, force_terminal=False)
            write(plain, title, table, footnotes)
            print_fn(text.getvalue().rstrip("\n"))
    if print_fn is None:
        profile._is_printed()
    return profile


def _stats(stats: StatsTable) -> Table:
    table = Table(box=FRAME, show_footer=True)
    widths = widths_of([stats.header, *stats.rows, stats.totals])
    for title, total, width in zip(stats.header, stats.totals, widths, strict=True):
        justify = "right" if table.columns else "left"
        table.add_column(
            Text(title), Text(total), justify=justify, no_wrap=True, width=width
        )
    for cells in stats.rows:
        table.add_row(*map(Text, cells))
    return table


def _totals(profile: ModelProfile, include_macs: bool) -> Table:
    table = Table(box=FRAME, show_header=False)
    rows = list(totals_table(profile, include_macs))
    for width in widths_of(rows):
        table.add_column(no_wrap=True, width=width)
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table
