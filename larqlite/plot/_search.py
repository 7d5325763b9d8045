"""`search`: what networks with the best widths cost and give, and which widths these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import AROUND, content, drawing, name_rows
from larqlite_runtime.pictures import COLORS, GRID, GUIDE, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WHERE = "lq.plot.search"
_FORMS = "the output of lq search MODEL DATA --json in a .json file"
_ROW = 0.32
# From here on costs are compared by factors.
_WIDE = 30


def search(
    result: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws the Pareto front of a search, and the widths at each of its points.

    On the left what the networks cost, against their accuracy or, without labels, their
    signal over noise; the dotted line is the budget. On the right a row for each layer and a
    column for each point, from the cheapest to the dearest.

    Args:
        result: what `lq.search.bits` found, or the path of a `.json` file with what
            `lq search --json` wrote.
        axes: two matplotlib axes to draw into; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: it is no such result, the wrong number of axes, a look that cannot
            be, or a file suffix that matplotlib cannot write.

    Example:
        >>> point = {"widths": {"conv": "int4"}, "cost": 90.0, "noise": 0.01,
        ...          "sqnr_db": 20.0, "accuracy": None}
        >>> figure = lq.plot.search({"name": "net", "cost": "bytes", "unit": "B",
        ...     "budget": 100, "float_cost": 700, "float_accuracy": None, "points": [point],
        ...     "best": 0})
        >>> float(figure.axes[0].lines[0].get_xdata()[0])
        90.0
    """
    read = [result] if isinstance(result, (str, Path)) else []
    drawn = drawing(_WHERE, path, look, read)
    found = _content(result)
    layers = list(found["points"][0]["widths"])
    figure, panels = drawn.axes(
        2, axes, cell=(5.2, max(3.2, AROUND + _ROW * len(layers)))
    )
    _draw_front(panels[0], found)
    _draw_widths(panels[1], found, layers)
    return drawn.done(figure)


def _content(result: Any) -> Mapping[str, Any]:
    """The result in types that JSON knows."""
    where = f'{_WHERE}: "{result}"' if isinstance(result, (str, Path)) else _WHERE
    result = content(result, _WHERE, _FORMS)
    needed = {"name", "cost", "unit", "budget", "float_accuracy", "points", "best"}
    if (
        not isinstance(result, Mapping)
        or not needed <= set(result)
        or not result["points"]
    ):
        raise ArgumentError(
            f"{where}: it is no result of a search for widths.\n"
            f"  Fix: what lq.search.bits(model, data, budget) returns, or {_FORMS}."
        )
    return result


def _draw_front(ax: Axes, found: Mapping[str, Any]) -> None:
    has_labels = found["float_accuracy"] is not None
    points = [
        point for point in found["points"] if has_labels or point["sqnr_db"] is not None
    ]
    key, by = ("accuracy", 100) if has_labels else ("sqnr_db", 1)
    costs, values = ([point[k] for point in points] for k in ("cost", key))
    ax.plot(
        costs, [by * v for v in values], color=COLORS[0], marker="o", markersize=4.5
    )
    best = found["points"][found["best"]]
    if best in points:
        ax.plot(
            [best["cost"]],
            [by * best[key]],
            linestyle="",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            color=COLORS[1],
            label="best within the budget",
        )
    ax.axvline(
        found["budget"], color=GUIDE, linestyle=":", linewidth=1.2, label="budget"
    )
    if has_labels:
        ax.axhline(
            100 * found["float_accuracy"], color=GUIDE, linewidth=0.8, label="in float"
        )
    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(lambda cost, place: "")
    unit = (
        found["cost"]
        if found["unit"] in found["cost"]
        else f"{found['cost']} ({found['unit']})"
    )
    ax.set(
        title=f"{found['name']}: nothing trained",
        xlabel=unit,
        ylabel="accuracy (%)" if has_labels else "signal over noise (dB)",
    )
    ax.grid(color=GRID)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="best")


def _draw_widths(ax: Axes, found: Mapping[str, Any], layers: Sequence[str]) -> None:
    """The words of the widths, a column for each point."""
    for column, point in enumerate(found["points"]):
        for row, layer in enumerate(layers):
            ax.text(
                column,
                row,
                _short(point["widths"][layer]),
                ha="center",
                va="center",
                fontsize="small",
                fontweight="bold" if column == found["best"] else "normal",
            )
    count = len(found["points"])
    ax.axvspan(found["best"] - 0.5, found["best"] + 0.5, color=COLORS[1], alpha=0.15)
    ax.set_xlim(-0.6, count - 0.4)
    ax.set_xticks([])
    ax.set(title="widths of the layers", xlabel="points, the cheapest on the left")
    name_rows([ax], layers)
    ax.spines[["left", "bottom"]].set_visible(False)


def _short(word: str) -> str:
    """A width in few letters: its bits, 1 and t for binary and ternary, f for float."""
    names = {"binary": "1", "ternary": "t", "float": "f"}
    parts = [names.get(part, part.removeprefix("int")) for part in word.split("/")]
    return "/".join(parts)
