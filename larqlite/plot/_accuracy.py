"""`accuracy`: how good networks are, against what they weigh."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.plot._drawing import drawing
from larqlite.plot._names import placed
from larqlite.plot._results import Point, points_of
from larqlite_runtime.pictures import COLORS, GRID, GUIDE, MARKERS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

# Datasets as papers write them.
_DATASETS = {
    "imagenet": "ImageNet",
    "fashion_mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "cifar100": "CIFAR-100",
}
# From here on sizes are compared by factors.
_WIDE = 3


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
    figure, (ax,) = drawn.axes(1, axes, cell=(7.6, 5.0))
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
    where = _DATASETS.get(points[0].dataset, points[0].dataset)
    ax.set_title(
        f"accuracy on {where} against size" if where else "accuracy against size"
    )
    if any(ax.get_legend_handles_labels()[1]):
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
    ax.margins(x=0.15, y=0.12)
    ax.set(xlabel="bytes of the weights, packed", ylabel="top-1 accuracy (%)")
    ax.grid(color=GRID)
    ax.set_axisbelow(True)


def _name(figure: Figure, ax: Axes, points: Sequence[Point]) -> None:
    """Writes the names beside the dots, with a line to the dot where they stand apart."""
    figure.draw_without_rendering()
    dots = ax.transData.transform([(point.bytes, point.accuracy) for point in points])
    options = {"textcoords": "offset pixels", "ha": "center", "va": "center"}
    texts = [
        ax.annotate(p.name, (p.bytes, p.accuracy), xytext=(0, 0), fontsize=8, **options)
        for p in points
    ]
    boxes = [text.get_window_extent() for text in texts]
    sizes = np.array([(box.width + 4, box.height) for box in boxes])
    radius = 4.5 * figure.dpi / 72
    obstacles = [[*(dot - radius), *(dot + radius)] for dot in dots]
    obstacles += _steps(ax, list(_best(points)))
    if (legend := ax.get_legend()) is not None:
        obstacles.append(legend.get_window_extent().extents)
    places = placed(dots, sizes, np.array(obstacles), ax.bbox.extents)
    for point, text, place in zip(points, texts, places, strict=True):
        text.set_in_layout(False)
        text.set_position(_in_points(figure, place.middle))
        text.set_anncoords("offset points")
        if place.end is not None:
            line = ax.annotate(
                "",
                (point.bytes, point.accuracy),
                xytext=_in_points(figure, place.end),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": GUIDE, "linewidth": 0.7},
            )
            line.set_in_layout(False)


def _in_points(figure: Figure, pixels: Sequence[float]) -> tuple[float, float]:
    """An offset that stays what it is, whatever the resolution of the file."""
    across, up = (72 / figure.dpi * side for side in pixels)
    return across, up


def _steps(ax: Axes, best: Sequence[Point]) -> Iterator[Sequence[float]]:
    """Boxes around the line that leads through the best."""
    places = ax.transData.transform([(p.bytes, p.accuracy) for p in best])
    for (x, y), (next_x, next_y) in itertools.pairwise(places):
        yield x, y - 1, next_x, y + 1
        yield next_x - 1, y, next_x + 1, next_y
