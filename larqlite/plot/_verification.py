"""`verification`: where a deployed file departs from its model, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import (
    AROUND,
    ROW,
    content,
    drawing,
    font_of_rows,
    name_rows,
)
from larqlite_runtime.pictures import COLORS, GRID, HATCHES, WRONG, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WHERE = "lq.plot.verification"
_FORMS = "the output of lq verify MODEL FILE --json in a .json file"


def verification(
    result: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws how much of each packed layer is not as in Keras, when the whole file runs.

    A bar is the share of the layer's quantized inputs that come out on the other side of
    a threshold: floats of earlier layers that differ in the last place, which a network
    carries on. A layer that is itself wrong, given its inputs in Keras, is hatched, in
    red, and says so.

    Args:
        result: what `lq.deploy.verify` found, or the path of a `.json` file with what
            `lq verify --json` wrote.
        axes: matplotlib axes to draw into, as a list of one; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: it is no verification, the file has no packed layers, the wrong
            number of axes, a look that cannot be, or a file suffix that matplotlib
            cannot write.

    Example:
        >>> flips = {"values": 200, "different": 3}
        >>> figure = lq.plot.verification({"name": "net", "engine": "larqlite_runtime",
        ...     "samples": 2, "layers": [{"layer": "conv", "ok": True, "run_flips": flips}]})
        >>> float(figure.axes[0].patches[0].get_width())
        1.5
    """
    read = [result] if isinstance(result, (str, Path)) else []
    drawn = drawing(_WHERE, path, look, read)
    found = _content(result)
    rows = found["layers"]
    if not rows:
        raise ArgumentError(
            f'{_WHERE}: "{found["name"]}" has no packed layers.\n'
            "  Fix: give its Quant layers a kernel_quantizer and an input_quantizer."
        )
    figure, (ax,) = drawn.axes(1, axes, cell=(6.4, AROUND + ROW * len(rows)))
    _draw(ax, rows)
    samples = found["samples"]
    ax.set(
        title=f"{found['name']}: the file against Keras, {samples:,} samples",
        xlabel="quantized inputs of the layer that differ (%)",
    )
    return drawn.done(figure)


def _content(result: Any) -> Mapping[str, Any]:
    """The verification in types that JSON knows."""
    where = f'{_WHERE}: "{result}"' if isinstance(result, (str, Path)) else _WHERE
    result = content(result, _WHERE, _FORMS)
    if not _is_verification(result):
        raise ArgumentError(
            f"{where}: it is no verification of a file.\n"
            f"  Fix: what lq.deploy.verify(model, file) returns, or {_FORMS}."
        )
    return result


def _is_verification(result: Any) -> bool:
    if not isinstance(result, Mapping) or not {"name", "samples"} <= set(result):
        return False
    rows, needed = result.get("layers"), {"layer", "ok", "run_flips"}
    is_table = isinstance(rows, (list, tuple))
    return is_table and all(isinstance(r, Mapping) and needed <= set(r) for r in rows)


def _draw(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    size = 0.9 * font_of_rows(ax.figure, len(rows))
    shares = []
    for row in rows:
        flips = row["run_flips"]
        has_any = bool(flips and flips["values"])
        shares.append(100 * flips["different"] / flips["values"] if has_any else 0.0)
    for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
        ok, flips = row["ok"], row["run_flips"]
        ax.barh(
            number,
            share,
            height=0.72,
            color=COLORS[0] if ok else WRONG,
            hatch=HATCHES[0 if ok else 1],
            edgecolor="white",
            linewidth=0,
        )
        text = "not quantized"
        if flips:
            text = f"{flips['different']:,} of {flips['values']:,}"
        ax.annotate(
            text + ("" if ok else ": WRONG given its input"),
            (share, number),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color="black" if ok else WRONG,
        )
    name_rows((ax,), [row["layer"] for row in rows])
    ax.set_xlim(0, 1.5 * max(shares) or 1)
    ax.grid(axis="x", color=GRID)
    ax.set_axisbelow(True)
