"""Pictures of quantizers, latent weights and training curves, as matplotlib figures.

Every function returns a `matplotlib.figure.Figure` of its own, and touches neither
pyplot nor the backend, so it works in a notebook, a server and a thread alike.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import larqlite_runtime.outputs
from larqlite import outputs
from larqlite._curves import read_curves
from larqlite.errors import ArgumentError, MissingFileError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["history", "quantizer", "weights"]

FLIP_RATIO = "flip_ratio"


def quantizer(
    identifier: str | Mapping | Callable,
    low: float = -2.0,
    high: float = 2.0,
    points: int = 1001,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
) -> Figure:
    r"""Draws q(x), and beside it the pseudo-gradient dq/dx that training uses.

    Both curves are measured: the quantizer is called on `points` values of x, and a
    `GradientTape` gives the gradient. A quantizer that looks at its whole tensor
    (a scale, a largest magnitude) sees these values as one channel.

    Args:
        identifier: what `lq.quantizers.get` accepts.
        low: the smallest x.
        high: the largest x.
        points: how many values of x.
        axes: two matplotlib axes to draw into; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.

    Returns:
        The figure.

    Raises:
        UnknownQuantizerError: nothing is known under that name.
        ArgumentError: an empty range, too few points, the wrong number of axes, or a
            file suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.quantizer("swish_sign")
        >>> [ax.get_title() for ax in figure.axes]
        ['swish_sign (1 bit)', 'pseudo-gradient']
    """
    from larqlite import quantizers

    path = _checked(path, "lq.plot.quantizer")
    if identifier is None:
        raise ArgumentError(
            "lq.plot.quantizer: got None, which means no quantizer.\n"
            "  Fix: pass a name out of lq.quantizers.names(), or a quantizer."
        )
    if not (math.isfinite(low) and math.isfinite(high) and low < high and points > 1):
        raise ArgumentError(
            f"lq.plot.quantizer: cannot draw {points} points from {low} to {high}.\n"
            "  Fix: a finite low < high, and at least two points."
        )
    function = quantizers.get(identifier)
    x = np.linspace(low, high, points, dtype=np.float32)
    y, gradient = _measure(function, x)

    figure, (forward_axes, gradient_axes) = _figure_and_axes(2, axes)
    name = identifier if isinstance(identifier, str) else _display_name(function)
    precision = getattr(function, "precision", None)
    bits = f" ({precision} bit{'s' * (precision != 1)})" if precision else ""
    forward_axes.set(title=name + bits, xlabel="x", ylabel="q(x)")
    gradient_axes.set(title="pseudo-gradient", xlabel="x", ylabel="dq/dx")
    forward_axes.plot(x, x, color="0.75", linewidth=1, linestyle="--", label="x")
    forward_axes.plot(x, y, color="C0", label="q(x)")
    forward_axes.legend(frameon=False)
    gradient_axes.axhline(0, color="0.75", linewidth=1)
    gradient_axes.plot(x, gradient, color="C1")
    for drawn in (forward_axes, gradient_axes):
        drawn.grid(alpha=0.25)
    return _saved(figure, path)


def weights(
    model,
    bins: int = 60,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draws a histogram of the latent weights of every quantized kernel.

    A healthy binary layer has its latent weights spread over the clipping range; a
    heap at zero keeps flipping sign, a heap at the edges no longer learns.

    Args:
        model: a built tf_keras model or a single Quant layer.
        bins: how many bars in each histogram.
        axes: matplotlib axes, one for each quantized kernel; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.

    Returns:
        The figure, one histogram for each quantized kernel, in the model's order.

    Raises:
        KerasVersionError: a Keras 3 model.
        UnbuiltModelError: a layer without weights yet.
        ArgumentError: the model has no quantized kernel, the wrong number of axes, or
            a file suffix that matplotlib cannot write.

    Example:
        >>> layer = lq.layers.QuantDense(8, kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip", name="dense")
        >>> model = tf_keras.Sequential([tf_keras.Input((16,)), layer])
        >>> lq.plot.weights(model).axes[0].get_title()
        'dense/kernel: ste_sign, 128 weights'
    """
    from larqlite import models

    path = _checked(path, "lq.plot.weights")
    kernels = models.quantized_weights(model)
    if not kernels:
        raise ArgumentError(
            f'lq.plot.weights: model "{model.name}" has no quantized kernel to show.\n'
            "  Fix: give its Quant layers a kernel_quantizer."
        )
    figure, drawn = _figure_and_axes(len(kernels), axes)
    for ax, (name, kernel) in zip(drawn, kernels.items(), strict=True):
        latent = kernel.latent.ravel()
        ax.hist(latent.astype(np.float64), bins=bins, color="C0")
        ax.axvline(0, color="0.3", linewidth=1)
        quantizer_name = _display_name(kernel.quantizer)
        ax.set_title(f"{name}: {quantizer_name}, {latent.size:,} weights", fontsize=9)
        ax.set(xlabel="latent weight", ylabel="count")
    return _saved(figure, path)


def history(
    history,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draws the curves of a training run: losses, metrics, flip ratios, learning rate.

    A metric and its `val_` twin share a picture; all `flip_ratio/...` curves share one
    with a logarithmic axis (their `val_` twins are left out: validation flips nothing).

    Args:
        history: what `model.fit` returned, or a dictionary of lists; or the path of a
            `.csv` (as `tf_keras.callbacks.CSVLogger` writes it) or `.json` (that
            dictionary) file.
        axes: matplotlib axes, one for each picture; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.

    Returns:
        The figure.

    Raises:
        ArgumentError: no such file, a file of another kind, no curve in it, a value
            that is not a number, curves of different lengths, the wrong number of
            axes, or a file suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.history({"loss": [2.0, 1.0], "val_loss": [2.1, 1.2],
        ...     "flip_ratio/conv": [0.1, 0.01]})
        >>> [ax.get_title() for ax in figure.axes]
        ['loss', 'flip ratio']
    """
    read = [history] if isinstance(history, (str, Path)) else []
    path = _checked(path, "lq.plot.history", read)
    epochs, curves = read_curves(history)
    curves = {n: c for n, c in curves.items() if not n.startswith("val_" + FLIP_RATIO)}
    pictures: dict[str, list[str]] = {}
    for name in sorted(curves, key=_place_in_figure):
        pictures.setdefault(_title(name), []).append(name)
    figure, drawn = _figure_and_axes(len(pictures), axes)
    for ax, (title, names) in zip(drawn, pictures.items(), strict=True):
        for name in names:
            label = name.removeprefix(FLIP_RATIO + "/")
            mark = "o" if len(epochs) == 1 else None
            ax.plot(epochs, curves[name], label=label, marker=mark)
        if title == FLIP_RATIO and all((curves[name] > 0).all() for name in names):
            ax.set_yscale("log")
        ax.set(title=title.replace("_", " "), xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.25)
        if len(names) > 1:
            ax.legend(frameon=False, fontsize=8)
    return _saved(figure, path)


def _measure(function: Callable, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q(x) and its gradient for each x, taken as the values of a single channel."""
    import tensorflow as tf

    column = tf.constant(x[:, np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(column)
        y = function(column)
    gradient = tape.gradient(
        y, column, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return y.numpy()[:, 0], gradient.numpy()[:, 0]


def _display_name(function: Callable) -> str:
    """The registered name of a quantizer, else the name of its class or function."""
    from larqlite import quantizers

    for entry in quantizers.entries():
        if entry.name is not None and type(function) is entry.target:
            return entry.name
    return getattr(function, "__name__", type(function).__name__)


def _title(name: str) -> str:
    """The picture that a curve belongs to."""
    if name.split("/")[0] == FLIP_RATIO:
        return FLIP_RATIO
    return name.removeprefix("val_")


def _place_in_figure(name: str) -> int:
    """Loss first, metrics as they come, then flip ratios, the learning rate last."""
    places = {"loss": 0, FLIP_RATIO: 2, "lr": 3, "learning_rate": 3}
    return places.get(_title(name), 1)


@functools.cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook shows without pyplot."""

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return NotebookFigure


def _figure_and_axes(
    count: int, axes: Sequence[Axes] | None
) -> tuple[Figure, list[Axes]]:
    """A new figure with `count` axes; or the user's axes and the figure they are in."""
    if axes is not None:
        given = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(given) != count:
            raise ArgumentError(
                f"lq.plot: {count} axes are needed, but {len(given)} were given.\n"
                f"  Fix: axes=figure.subplots({count})."
            )
        return given[0].figure, given
    columns = 2 if count in (2, 4) else min(3, count)
    rows = math.ceil(count / columns)
    figure = _figure_class()(
        figsize=(4.2 * columns, 3.1 * rows), layout="constrained", dpi=110
    )
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def require_picture(
    path: str | Path,
    where: str,
    read: Sequence[Any] = (),
    default_of: str | None = None,
) -> Path:
    """The path of a picture that may be drawn; see `larqlite.outputs.require`.

    Raises:
        ArgumentError: it must not be written, or matplotlib does not know its ending.
    """
    return larqlite_runtime.outputs.require_picture(
        path,
        where,
        read=read,
        default_of=default_of,
        refused=ArgumentError,
        missing=MissingFileError,
    )


def _checked(path: str | Path | None, where: str, read: Sequence = ()) -> Path | None:
    return None if path is None else require_picture(path, where, read)


def _saved(figure: Figure, path: Path | None) -> Figure:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with outputs.written_whole(path) as temporary:
            figure.savefig(temporary)
    return figure
