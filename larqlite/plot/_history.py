"""`history`: the curves of one training run, or of several in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import digits, drawing
from larqlite.plot._runs import TrainingRun, paths_of, runs_of
from larqlite_runtime.names import near_matches
from larqlite_runtime.pictures import (
    COLORS,
    DASHES,
    GRID,
    GUIDE,
    MARKERS,
    Look,
    Style,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

FLIP_RATIO = "flip_ratio"
_VALIDATION = "val_"
# In words, where the key is none.
_TITLES = {"lr": "learning rate", "acc": "accuracy"}
# Of the run, not of what it learns; drawn where there is nothing else, or on demand.
_ASIDE = ("seconds", "time", "epoch_time")
# A curve of fewer epochs shows each of them; one of more layers has colours by depth.
_FEW_EPOCHS, _FEW_LAYERS = 12, 6


def history(
    history: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    *,
    labels: Sequence[str] | None = None,
    curves: Sequence[str] | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws the curves of a training run: losses, metrics, flip ratios, learning rate.

    A metric and its `val_` twin share a picture; all `flip_ratio/...` curves share one
    with a logarithmic axis, named by their layers (their `val_` twins are left out:
    validation flips nothing). Several runs are drawn into the same pictures.

    Args:
        history: what `model.fit` returned, or a dictionary of lists; or the path of a
            `.csv` (as `tf_keras.callbacks.CSVLogger` writes it) or `.json` (that
            dictionary) file. Or a list of these, or a dictionary of these by the names
            of the runs.
        axes: matplotlib axes, one for each picture; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        labels: names of the runs; by default those of the dictionary, or what tells the
            paths of the files apart.
        curves: names of the metrics to draw, such as `["loss", "flip_ratio"]`, in this
            order; by default all but the time.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: no such file, a file of another kind, no curve in it, a value
            that is not a number, curves of different lengths, labels that are not as
            many as the runs, an unknown curve, the wrong number of axes, a look that
            cannot be, or a file suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.history({"loss": [2.0, 1.0], "val_loss": [2.1, 1.2],
        ...     "flip_ratio/conv": [0.1, 0.01]})
        >>> [ax.get_title() for ax in figure.axes]
        ['loss', 'flip ratio']
        >>> [line.get_label() for line in figure.axes[0].lines]
        ['training', 'validation']
    """
    drawn = drawing("lq.plot.history", path, look, paths_of(history))
    runs = runs_of(history, labels)
    panels = _panels(runs, curves)
    figure, all_axes = drawn.axes(len(panels), axes)
    for ax, (name, keys) in zip(all_axes, panels.items(), strict=True):
        _draw(ax, name, keys, runs)
        ax.set(title=_words(name), xlabel="epoch")
        ax.grid(color=GRID)
        ax.set_axisbelow(True)
    if len(runs) > 1:
        _name_runs(all_axes[0] if axes is not None else figure, runs, panels)
    return drawn.done(figure)


def _panels(
    runs: Sequence[TrainingRun], wanted: Sequence[str] | None
) -> dict[str, list[str]]:
    """The keys of the curves of each picture, by the name of what it shows."""
    keys = dict.fromkeys(key for run in runs for key in run.curves)
    found: dict[str, list[str]] = {}
    for key in sorted(keys, key=_place_in_figure):
        if not key.startswith(_VALIDATION + FLIP_RATIO):
            found.setdefault(_shown_in(key), []).append(key)
    if wanted is None:
        learned = {name: keys for name, keys in found.items() if name not in _ASIDE}
        return learned or found
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in wanted:
        if name not in found:
            raise ArgumentError(
                f'lq.plot.history: there is no curve "{name}".{near_matches(name, found)}\n'
                f"  Fix: some of {', '.join(found)}."
            )
    if not wanted:
        raise ArgumentError(
            f"lq.plot.history: curves=[] leaves nothing to draw.\n"
            f"  Fix: some of {', '.join(found)}."
        )
    return {name: found[name] for name in wanted}


def _draw(
    ax: Axes, name: str, keys: Sequence[str], runs: Sequence[TrainingRun]
) -> None:
    """The curves of one picture."""
    drawn = [
        (run, key, _style(number, place, name, keys, len(runs)))
        for number, run in enumerate(runs)
        for place, key in enumerate(keys)
        if key in run.curves
    ]
    several = len(runs) > 1
    few = all(len(run.epochs) <= _FEW_EPOCHS for run in runs)
    for run, key, look in drawn:
        label = _label(key, name)
        ax.plot(
            run.epochs,
            run.curves[key],
            color=look.color,
            linestyle=look.linestyle,
            marker=look.marker if few or several else None,
            markersize=4,
            markevery=1 if few else max(len(run.epochs) // 8, 1),
            label=f"{run.name}, {label}" if several else label,
        )
    values = [run.curves[key] for run, key, _ in drawn]
    _set_epochs(ax, runs)
    _set_values(ax, name, values)
    if all(len(run.epochs) == 1 for run in runs):
        for run, key, look in drawn:
            (value,) = run.curves[key]
            text = digits(100 * value if "%" in ax.get_ylabel() else value)
            place = (run.epochs[0], value)
            offset = {"xytext": (7, 0), "textcoords": "offset points"}
            ax.annotate(
                text, place, va="center", fontsize=9, color=look.color, **offset
            )
    if not several and len(keys) > 1:
        _name_curves(ax, name, len(keys))
    elif several and name == FLIP_RATIO:
        _name_layers(ax, keys)


def _style(number: int, place: int, name: str, keys: Sequence[str], runs: int) -> Style:
    """Of the curve at a place of the picture, of the run of that number."""
    if name == FLIP_RATIO:
        if runs > 1:
            dashes = DASHES[place % len(DASHES)]
            return Style(COLORS[number % len(COLORS)], dashes, MARKERS[number % 6])
        if len(keys) > _FEW_LAYERS:
            return style(place)._replace(color=_by_depth(place, len(keys)))
        return style(place)
    is_validation = keys[place].startswith(_VALIDATION)
    if runs > 1:
        one = style(number)
        return one._replace(linestyle=DASHES[1] if is_validation else "solid")
    return style(int(is_validation))


def _by_depth(place: int, count: int) -> str:
    """From dark to light; a map that every eye reads, and that is even in print."""
    from matplotlib import colormaps, colors

    return colors.to_hex(colormaps["cividis"](0.92 * place / max(count - 1, 1)))


def _set_epochs(ax: Axes, runs: Sequence[TrainingRun]) -> None:
    """Whole numbers, also where there is one epoch only."""
    epochs = np.unique(np.concatenate([run.epochs for run in runs]))
    if len(epochs) == 1:
        ax.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        ax.set_xticks(epochs, [f"{epochs[0]:g}"])
    else:
        ax.xaxis.get_major_locator().set_params(integer=True)


def _set_values(ax: Axes, name: str, values: Sequence[np.ndarray]) -> None:
    """What the numbers are, and an axis on which they can be read."""
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    label = _words(name)
    if name == FLIP_RATIO:
        label = "weights that flip in a step"
        several = max(map(len, values)) > 1
        if (known > 0).all() if not several else (known > 0).any():
            ax.set_yscale("log", nonpositive="clip")
    elif "learning rate" in label and len(known) and known.min() > 0:
        if known.max() / known.min() >= 50:
            ax.set_yscale("log")
    elif _is_accuracy(name) and len(known) and known.min() >= 0 and known.max() <= 1:
        label += " (%)"
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}")
    ax.set_ylabel(label)
    if max(map(len, values)) == 1:
        ax.margins(y=0.5)


def _name_curves(ax: Axes, name: str, count: int) -> None:
    if name == FLIP_RATIO and count > _FEW_LAYERS:
        columns = -(-count // 14)
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02)}
        ax.legend(frameon=False, fontsize=7, ncols=columns, **place)
    else:
        ax.legend(frameon=False, fontsize=8)


def _name_layers(ax: Axes, keys: Sequence[str]) -> None:
    """Of several runs: what the dashes stand for, whatever the colour."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=GUIDE, linestyle=DASHES[place % len(DASHES)])
        for place in range(len(keys))
    ]
    names = [_label(key, FLIP_RATIO) for key in keys]
    ax.legend(lines, names, frameon=False, fontsize=8)


def _name_runs(place: Axes | Figure, runs: Sequence[TrainingRun], panels) -> None:
    """One legend for all pictures: the runs, and how training and validation differ."""
    from matplotlib.lines import Line2D

    lines, names = [], []
    for number, run in enumerate(runs):
        one = style(number)
        lines.append(Line2D([], [], color=one.color, marker=one.marker, markersize=4))
        names.append(run.name)
    keys = [key for name, keys in panels.items() if name != FLIP_RATIO for key in keys]
    if any(key.startswith(_VALIDATION) for key in keys):
        for text, dashes in (("training", "solid"), ("validation", DASHES[1])):
            lines.append(Line2D([], [], color=GUIDE, linestyle=dashes))
            names.append(text)
    options = {"frameon": False, "fontsize": 9}
    if hasattr(place, "add_subplot"):
        options |= {"loc": "outside lower center", "ncols": min(len(names), 6)}
    place.legend(lines, names, **options)


def _label(key: str, name: str) -> str:
    """A curve in words: the layer of a flip ratio, else what it was measured on."""
    if name == FLIP_RATIO:
        return key.removeprefix(FLIP_RATIO + "/")
    return "validation" if key.startswith(_VALIDATION) else "training"


def _words(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _is_accuracy(name: str) -> bool:
    return _words(name).endswith("accuracy")


def _shown_in(key: str) -> str:
    """The name of the picture that a curve belongs to."""
    if key.split("/")[0] == FLIP_RATIO:
        return FLIP_RATIO
    return key.removeprefix(_VALIDATION)


def _place_in_figure(key: str) -> int:
    """Loss first, metrics as they come, then flip ratios, the learning rate last."""
    places = {"loss": 0, FLIP_RATIO: 2, "lr": 3, "learning_rate": 3}
    return places.get(_shown_in(key), 4 if _shown_in(key) in _ASIDE else 1)
