"""`accuracy`: how good networks are, against what they weigh."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.plot._drawing import drawing
from larqlite.plot._results import Point, points_of
from larqlite_runtime.pictures import COLORS, GRID, GUIDE, MARKERS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

# From here on sizes are compared by factors.
_WIDE = 3
# Where a name may stand: directions, by how well they are read, and distances in points.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_DISTANCES = (6, 12, 20)


def accuracy(
    results: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    *,
    dataset: str | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws accuracies against bytes, a dot for each network.

    A line leads through the networks that no other beats with fewer bytes.

    Args:
        results: a dictionary of `(bytes, accuracy in percent)` by name; rows, which are
            dictionaries with `name` (or `model`), `bytes` (or `deployed_bytes`), `top1`
            (percent) or `accuracy`, and perhaps `dataset` and `group`; cards of
            `larqlite_zoo`; or the path of a `.csv` or `.json` file of such rows, as
            `lqz list --json` writes it.
        axes: matplotlib axes to draw into, as a list of one; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        dataset: draw the accuracies on this one; needed where there are several.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: a row lacks something, no accuracy is there, several datasets and
            none chosen, the wrong number of axes, a look that cannot be, or a file
            suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.accuracy({"binary": (244_520, 92.69), "float": (4_672_808, 93.69)})
        >>> figure.axes[0].get_ylabel()
        'top-1 accuracy (%)'
    """
    read = [results] if isinstance(results, (str, Path)) else []
    drawn = drawing("lq.plot.accuracy", path, look, read)
    points = points_of(results, dataset)
    figure, (ax,) = drawn.axes(1, axes, cell=(7.0, 4.6))
    for number, group in enumerate(dict.fromkeys(point.group for point in points)):
        own = [point for point in points if point.group == group]
        ax.plot(
            [point.bytes for point in own],
            [point.accuracy for point in own],
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            label=group,
            zorder=3,
        )
    best = list(_best(points))
    if len(best) > 1:
        ax.plot(
            [point.bytes for point in best],
            [point.accuracy for point in best],
            color=GUIDE,
            linewidth=1,
            linestyle="--",
            drawstyle="steps-post",
            label="best of its bytes or fewer",
        )
    _set_axes(ax, points)
    where = points[0].dataset if len({p.dataset for p in points}) == 1 else ""
    ax.set_title(
        f"accuracy on {where} against size" if where else "accuracy against size"
    )
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(frameon=False, fontsize=8, loc="best")
    _name(figure, ax, points)
    return drawn.done(figure)


def _best(points: Sequence[Point]) -> Iterator[Point]:
    """The points that are better than every one with as few bytes or fewer."""
    highest = float("-inf")
    for point in sorted(points, key=lambda point: (point.bytes, -point.accuracy)):
        if point.accuracy > highest:
            highest = point.accuracy
            yield point


def _set_axes(ax: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    sizes = [point.bytes for point in points]
    if min(sizes) > 0 and max(sizes) / min(sizes) > _WIDE:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter("")
    ax.xaxis.set_major_formatter(EngFormatter("B"))
    ax.margins(x=0.12, y=0.12)
    ax.set(xlabel="bytes of the weights, packed", ylabel="top-1 accuracy (%)")
    ax.grid(color=GRID)
    ax.set_axisbelow(True)


def _name(figure: Figure, ax: Axes, points: Sequence[Point]) -> None:
    """Writes the names beside the dots, each where it covers no other, if it can."""
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    taken = [_around(ax, point, 4 * scale) for point in points]
    taken += _steps(ax, list(_best(points)))
    for point in points:
        text = ax.annotate(
            point.name,
            (point.bytes, point.accuracy),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
        )
        text.set_in_layout(False)
        tried = []
        for distance in _DISTANCES:
            for side in _SIDES:
                _put(text, side, distance)
                box = text.get_window_extent()
                covered = sum(_overlap(box, other) for other in taken)
                outside = box.width * box.height - _overlap(box, ax.bbox)
                tried.append((covered + 2 * outside, distance, side))
                if not covered and outside < 1:
                    break
            else:
                continue
            break
        _, distance, side = min(tried, key=lambda one: one[0])
        _put(text, side, distance)
        taken.append(text.get_window_extent())
        if distance > _DISTANCES[0]:  # whose name it is
            _lead(ax, point, text)


def _lead(ax: Axes, point: Point, text: Any) -> None:
    line = ax.annotate(
        "",
        (point.bytes, point.accuracy),
        xytext=text.get_position(),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": GUIDE, "linewidth": 0.7},
    )
    line.set_in_layout(False)


def _put(text: Any, side: tuple[int, int], distance: float) -> None:
    across, up = side
    text.set_position((across * distance, up * distance * (0.7 if across else 1)))
    text.set_horizontalalignment({1: "left", 0: "center", -1: "right"}[across])
    text.set_verticalalignment({1: "bottom", 0: "center", -1: "top"}[up])


def _around(ax: Axes, point: Point, radius: float) -> Any:
    from matplotlib.transforms import Bbox

    x, y = ax.transData.transform((point.bytes, point.accuracy))
    return Bbox([[x - radius, y - radius], [x + radius, y + radius]])


def _steps(ax: Axes, best: Sequence[Point]) -> Iterator[Any]:
    """Boxes around the line that leads through the best."""
    from matplotlib.transforms import Bbox

    places = ax.transData.transform([(p.bytes, p.accuracy) for p in best])
    for (x, y), (next_x, next_y) in itertools.pairwise(places):
        yield Bbox([[x, y - 1], [next_x, y + 1]])
        yield Bbox([[next_x - 1, y], [next_x + 1, next_y]])


def _overlap(one: Any, other: Any) -> float:
    """Pixels that two boxes have in common."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0) * max(height, 0)
