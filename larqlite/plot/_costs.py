"""`costs`: bytes and multiply-accumulates of each layer, by their bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import (
    AROUND,
    ROW,
    drawing,
    font_of_rows,
    name_rows,
    with_prefix,
)
from larqlite_runtime.pictures import COLORS, GRID, HATCHES, QUIET, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_FLOAT = 32


def costs(
    model: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws what each layer costs: bytes of its weights, packed, and its products.

    The bars are stacked by bits: of a weight, and of the wider of weight and input. Where
    the 32-bit parts are long is where a binary network is not binary yet. Layers without
    weights and products are left out.

    Args:
        model: a built tf_keras model, or its `lq.models.ModelProfile`.
        axes: two matplotlib axes, for bytes and for products; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure. A layer whose products are not known has a "?".

    Raises:
        UnbuiltModelError: the model has no weights yet.
        ArgumentError: it is no model, or one that costs nothing, the wrong number of
            axes, a look that cannot be, or a file suffix that matplotlib cannot write.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((64,)),
        ...     lq.layers.QuantDense(8, kernel_quantizer="ste_sign", name="hidden",
        ...         kernel_constraint="weight_clip", use_bias=False)])
        >>> bytes_, macs = lq.plot.costs(model).axes
        >>> [int(bar.get_width()) for bar in bytes_.patches if bar.get_width()]
        [64]
        >>> [int(bar.get_width()) for bar in macs.patches if bar.get_width()]
        [512]
    """
    from larqlite import models

    drawn = drawing("lq.plot.costs", path, look)
    is_profile = isinstance(model, models.ModelProfile)
    profile = model if is_profile else models.profile(model)
    rows = [
        layer for layer in profile.layers if layer.deployed_bytes or layer.macs != 0
    ]
    if not rows:
        raise ArgumentError(
            f'lq.plot.costs: no layer of "{profile.name}" has weights or products.\n'
            "  Fix: a model with a Dense or convolutional layer."
        )
    memory = [_bytes_by_bits(layer) for layer in rows]
    macs = [layer.macs_by_precision for layer in rows]
    bits = sorted({bit for row in (*memory, *macs) for bit in row or ()})
    figure, (left, right) = drawn.axes(
        2, axes, columns=2, cell=(4.6, AROUND + ROW * len(rows)), sharey=True
    )
    _bars(left, memory, bits, "B")
    _bars(right, macs, bits, "")
    name_rows((left, right), [layer.path for layer in rows])
    total = with_prefix(profile.deployed_bytes, "B")
    left.set(title=f"weights, packed: {total}", xlabel="bytes")
    unknown = " and what is not known" if profile.unknown_layers else ""
    right.set(
        title=f"products: {with_prefix(profile.macs)}{unknown}",
        xlabel="multiply-accumulates of one sample",
    )
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return drawn.done(figure)


def _bytes_by_bits(layer: Any) -> dict[int, int]:
    sums: Counter[int] = Counter()
    for weight in layer.weights:
        sums[weight.bits] += weight.deployed_bytes
    return dict(sums)


def _bars(
    ax: Axes, rows: Sequence[Mapping[int, int] | None], bits: Sequence[int], unit: str
) -> None:
    """Stacked bars, one for each layer, with the sum behind them."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    places = range(len(rows))
    start = [0] * len(rows)
    for number, bit in enumerate(bits):
        widths = [(row or {}).get(bit, 0) for row in rows]
        is_float = bit == _FLOAT
        ax.barh(
            places,
            widths,
            left=start,
            height=0.72,
            color=QUIET if is_float else COLORS[number % len(COLORS)],
            hatch="" if is_float else HATCHES[number % len(HATCHES)],
            edgecolor="white",
            linewidth=0,
            label=f"{bit} bit{'s' * (bit != 1)}",
        )
        start = [a + b for a, b in zip(start, widths, strict=True)]
    size = 0.9 * font_of_rows(ax.figure, len(rows))
    for place, (row, end) in enumerate(zip(rows, start, strict=True)):
        text = "?" if row is None else with_prefix(end, unit) if end else ""
        ax.annotate(
            text,
            (end, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
        )
    ax.set_xlim(0, 1.18 * max([*start, 1]))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(EngFormatter(unit))
    ax.grid(axis="x", color=GRID)
    ax.set_axisbelow(True)
