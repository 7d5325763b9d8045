"""`diagnosis`: the numbers that say what is ill in a network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import content, drawing, shortened
from larqlite_runtime.pictures import COLORS, GUIDE, WRONG, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WHERE = "lq.plot.diagnosis"
_FORMS = "the output of lq diagnose MODEL DATA --json in a .json file"


def diagnosis(
    result: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws, for each illness that was found, how the numbers that say so are spread.

    Vertical lines are limits, such as the clip of latent weights. Of a network in which
    nothing is ill, the picture says just that.

    Args:
        result: what `lq.analysis.diagnose` found, or the path of a `.json` file with what
            `lq diagnose --json` wrote.
        axes: matplotlib axes to draw into, one for each finding, or one if there is none.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: it is no such report, the wrong number of axes, a look that cannot
            be, or a file suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.diagnosis(
        ...     {"name": "net", "samples": 8, "findings": [], "judged": [{}, {}]})
        >>> figure.axes[0].texts[0].get_text()
        'nothing is ill: 2 questions, 8 samples'
    """
    read = [result] if isinstance(result, (str, Path)) else []
    drawn = drawing(_WHERE, path, look, read)
    found = _content(result)
    rows = found["findings"]
    figure, panels = drawn.axes(max(1, len(rows)), axes, cell=(4.2, 2.9))
    if not rows:
        (ax,) = panels
        said = f"{len(found['judged'])} questions, {found['samples']:,} samples"
        ax.text(0.5, 0.5, f"nothing is ill: {said}", ha="center", va="center")
        ax.set_axis_off()
        ax.set_title(found["name"])
    for ax, row in zip(panels, rows, strict=False):
        _draw(ax, row)
    return drawn.done(figure)


def _content(result: Any) -> Mapping[str, Any]:
    """The report in types that JSON knows."""
    where = f'{_WHERE}: "{result}"' if isinstance(result, (str, Path)) else _WHERE
    result = content(result, _WHERE, _FORMS)
    needed = {"name", "samples", "findings", "judged"}
    if not isinstance(result, Mapping) or not needed <= set(result):
        raise ArgumentError(
            f"{where}: it is no diagnosis of a network.\n"
            f"  Fix: what lq.analysis.diagnose(model, data) returns, or {_FORMS}."
        )
    return result


def _draw(ax: Axes, row: Mapping[str, Any]) -> None:
    """The histogram of one finding, with its limits."""
    spread = row["histogram"]
    ax.set_title(f"{shortened(row['layer'])}: {row['illness']}", fontsize=9)
    if spread is None:
        ax.set_axis_off()
        return
    edges = spread["edges"]
    ax.bar(
        edges[:-1],
        spread["counts"],
        width=[high - low for low, high in itertools.pairwise(edges)],
        align="edge",
        color=COLORS[0],
    )
    if edges[0] <= 0 <= edges[-1]:
        ax.axvline(0, color=GUIDE, linewidth=1)
    for limit in spread["limits"]:
        ax.axvline(limit, color=WRONG, linewidth=1.2, linestyle=(0, (4, 1.5)))
    ax.set_xlabel(spread["label"], fontsize=8)
    ax.set_ylabel("count", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
