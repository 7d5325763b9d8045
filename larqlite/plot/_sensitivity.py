"""`sensitivity`: what each width of each layer costs, one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import AROUND, content, drawing, name_rows
from larqlite_runtime.pictures import GRID, GUIDE, Look, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WHERE = "lq.plot.sensitivity"
_FORMS = "the output of lq sensitivity MODEL DATA --json in a .json file"
# Inches of a row, and of what a legend takes below.
_ROW, _LEGEND = 0.32, 0.6


def sensitivity(
    result: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws what each width of each layer leaves of the signal, and of the accuracy.

    A full mark is measured, an empty one foretold by gradients; each width has its colour
    and its shape. Further to the right is better on the left, worse on the right.

    Args:
        result: what `lq.analysis.sensitivity` found, or the path of a `.json` file with
            what `lq sensitivity --json` wrote.
        axes: matplotlib axes to draw into: two where accuracy was counted, else one.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: it is no such report, the wrong number of axes, a look that cannot
            be, or a file suffix that matplotlib cannot write.

    Example:
        >>> cell = {"layer": "conv", "width": "int4", "sqnr_db": 21.5, "predicted_db": 20.0,
        ...         "accuracy_loss": None}
        >>> figure = lq.plot.sensitivity({"name": "net", "samples": 8, "widths": ["int4"],
        ...     "members": {"conv": ["conv"]}, "accuracy": None, "cells": [cell]})
        >>> float(figure.axes[0].lines[0].get_xdata()[0])
        21.5
    """
    read = [result] if isinstance(result, (str, Path)) else []
    drawn = drawing(_WHERE, path, look, read)
    found = _content(result)
    layers, has_accuracy = list(found["members"]), found["accuracy"] is not None
    high = AROUND + _LEGEND + _ROW * len(layers)
    panels = 2 if has_accuracy else 1
    figure, panels = drawn.axes(panels, axes, cell=(5.2, high))
    _draw(panels[0], found, {"sqnr_db": True, "predicted_db": False})
    panels[0].set(
        title=f"{found['name']}: signal that is left",
        xlabel="signal over noise of the outputs (dB)",
    )
    if has_accuracy:
        _draw(panels[1], found, {"accuracy_loss": True}, by=100)
        panels[1].set(
            title=f"of {100 * found['accuracy']:.1f} % of {found['samples']:,} samples",
            xlabel="accuracy lost (points)",
        )
    name_rows(panels, layers)
    panels[-1].set_ylim(panels[0].get_ylim())
    _legend(figure, panels[0], found)
    return drawn.done(figure)


def _content(result: Any) -> Mapping[str, Any]:
    """The report in types that JSON knows."""
    where = f'{_WHERE}: "{result}"' if isinstance(result, (str, Path)) else _WHERE
    result = content(result, _WHERE, _FORMS)
    needed = {"name", "samples", "widths", "members", "accuracy", "cells"}
    if not isinstance(result, Mapping) or not needed <= set(result):
        raise ArgumentError(
            f"{where}: it is no report on the widths of layers.\n"
            f"  Fix: what lq.analysis.sensitivity(model, data) returns, or {_FORMS}."
        )
    return result


def _draw(
    ax: Axes, found: Mapping[str, Any], values: Mapping[str, bool], by: float = 1
) -> None:
    """Marks of each width in the rows of the layers; full ones where a value says True."""
    rows = {layer: number for number, layer in enumerate(found["members"])}
    for number, width in enumerate(found["widths"]):
        look = style(number)
        cells = [cell for cell in found["cells"] if cell["width"] == width]
        for key, is_full in values.items():
            known = [cell for cell in cells if cell[key] is not None]
            ax.plot(
                [by * cell[key] for cell in known],
                [rows[cell["layer"]] for cell in known],
                linestyle="",
                marker=look.marker,
                markersize=6 if is_full else 8.5,
                color=look.color,
                markerfacecolor=look.color if is_full else "none",
                markeredgewidth=1.1,
                label=width,
                clip_on=False,
            )
    ax.axvline(0, color=GUIDE, linewidth=0.8)
    ax.grid(axis="both", color=GRID)
    ax.set_axisbelow(True)


def _legend(figure: Figure, ax: Axes, found: Mapping[str, Any]) -> None:
    """The widths, and what a full and an empty mark are."""
    # The full mark of each width, where there is one.
    lines = [line for line in ax.lines if len(line.get_xdata())]
    lines.sort(key=lambda line: line.get_markerfacecolor() != "none")
    by_width = {line.get_label(): line for line in lines}
    is_both = all(
        any(cell[key] is not None for cell in found["cells"])
        for key in ("sqnr_db", "predicted_db")
    )
    handles = [by_width[width] for width in found["widths"] if width in by_width]
    figure.legend(
        handles=handles,
        title="full: measured, empty: from gradients" if is_both else None,
        loc="outside lower center",
        ncols=min(len(handles), max(1, int(figure.get_size_inches()[0] / 1.1))),
        frameon=False,
    )
