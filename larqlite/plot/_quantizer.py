"""`quantizer`: q(x), and the pseudo-gradient that training uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import drawing
from larqlite_runtime.pictures import COLORS, GRID, GUIDE, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


def quantizer(
    identifier: str | Mapping | Callable,
    low: float = -2.0,
    high: float = 2.0,
    points: int = 1001,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
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
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        UnknownQuantizerError: nothing is known under that name.
        ArgumentError: an empty range, too few points, the wrong number of axes, a look
            that cannot be, or a file suffix that matplotlib cannot write.

    Example:
        >>> figure = lq.plot.quantizer("swish_sign")
        >>> [ax.get_title() for ax in figure.axes]
        ['swish_sign (1 bit)', 'pseudo-gradient']
    """
    from larqlite import quantizers

    drawn = drawing("lq.plot.quantizer", path, look)
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

    figure, (forward_axes, gradient_axes) = drawn.axes(2, axes)
    name = identifier if isinstance(identifier, str) else display_name(function)
    precision = getattr(function, "precision", None)
    bits = f" ({precision} bit{'s' * (precision != 1)})" if precision else ""
    forward_axes.set(title=name + bits, xlabel="x", ylabel="q(x)")
    gradient_axes.set(title="pseudo-gradient", xlabel="x", ylabel="dq/dx")
    forward_axes.plot(x, x, color=GUIDE, linewidth=1, linestyle="--", label="x")
    forward_axes.plot(x, y, color=COLORS[0], label="q(x)")
    forward_axes.legend(frameon=False)
    gradient_axes.axhline(0, color=GUIDE, linewidth=1)
    gradient_axes.plot(x, gradient, color=COLORS[1])
    for each in (forward_axes, gradient_axes):
        each.grid(color=GRID)
        each.set_axisbelow(True)
    return drawn.done(figure)


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


def display_name(function: Callable) -> str:
    """The registered name of a quantizer, else the name of its class or function."""
    from larqlite import quantizers

    for entry in quantizers.entries():
        if entry.name is not None and type(function) is entry.target:
            return entry.name
    return getattr(function, "__name__", type(function).__name__)
