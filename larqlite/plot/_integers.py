"""`integers`: which bits the accumulators of an integer model need, and which they have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import AROUND, ROW, drawing, font_of_rows, name_rows
from larqlite_runtime.pictures import COLORS, GRID, HATCHES, WRONG, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


def integers(
    report: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws the widths of an integer model's numbers, layer by layer.

    A bar has the bits that the accumulator of a layer needs for any input, by proof, and
    a line the bits that it has: a bar that crosses its line may saturate. A dot has the
    bits of what the layer gives out. What saturated on the samples is written behind.

    Args:
        report: what `lq.integer.models.data_report` found; or an integer model, of which
            it is asked, with random samples.
        axes: matplotlib axes to draw into, as a list of one; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: no layer computes with integers, the wrong number of axes, a look
            that cannot be, or a file suffix that matplotlib cannot write.

    Example:
        >>> layer = tf_keras.layers.Dense(2, input_shape=(3,), name="fc")
        >>> model = lq.integer.models.quantize(tf_keras.Sequential([layer]))
        >>> figure = lq.plot.integers(lq.integer.models.data_report(model, num_samples=4))
        >>> figure.axes[0].get_xlabel()
        'bits, sign included'
    """
    from larqlite.integer.models import DataReport, data_report

    drawn = drawing("lq.plot.integers", path, look)
    if not isinstance(report, DataReport):
        report = data_report(report)
    rows = [row for row in report.layers if row.needed_bits or row.output_bits]
    if not rows:
        raise ArgumentError(
            "lq.plot.integers: no layer of the model computes with integers.\n"
            "  Fix: lq.integer.models.quantize(model) makes one that does."
        )
    figure, (ax,) = drawn.axes(1, axes, cell=(6.4, AROUND + ROW * len(rows)))
    _draw(ax, rows)
    ax.set(title="accumulators and outputs", xlabel="bits, sign included")
    return drawn.done(figure)


def _draw(ax: Axes, rows: Sequence[Any]) -> None:
    for fits, label in ((True, "accumulator needs"), (False, "may saturate")):
        chosen = [(n, r) for n, r in enumerate(rows) if r.needed_bits]
        chosen = [(n, r) for n, r in chosen if r.fits == fits]
        if chosen:
            ax.barh(
                [number for number, _ in chosen],
                [row.needed_bits for _, row in chosen],
                height=0.72,
                color=COLORS[0] if fits else WRONG,
                hatch=HATCHES[0 if fits else 1],
                edgecolor="white",
                linewidth=0,
                label=label,
            )
    has = [(number, row.buffer_bits) for number, row in enumerate(rows)]
    has = [(number, bits) for number, bits in has if bits]
    if has:
        places, bits = zip(*has, strict=True)
        starts, ends = [p - 0.45 for p in places], [p + 0.45 for p in places]
        ax.vlines(bits, starts, ends, color="black", linewidth=2, label="it has")
    outs = [(row.output_bits, n) for n, row in enumerate(rows) if row.output_bits]
    if outs:
        ax.plot(
            *zip(*outs, strict=True),
            color=COLORS[2],
            linestyle="none",
            marker="o",
            markeredgecolor="black",
            label="output has",
        )
    most = max(max(r.needed_bits or 0, r.buffer_bits or 0) for r in rows)
    size = 0.9 * font_of_rows(ax.figure, len(rows))
    for number, row in enumerate(rows):
        said = f"{row.saturated:,} saturated" if row.saturated else ""
        if said:
            place = (max(row.needed_bits or 0, row.buffer_bits or 0), number)
            offset = {"xytext": (5, 0), "textcoords": "offset points"}
            ax.annotate(said, place, va="center", fontsize=size, color=WRONG, **offset)
    name_rows((ax,), [row.name for row in rows])
    ax.set_xlim(0, 1.05 * max(most, *(bits for bits, _ in outs or [(1, 0)])))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="x", color=GRID)
    ax.set_axisbelow(True)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
