"""What a benchmark measured, as data, as a table, in words and as a bar chart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite_runtime import pictures, tables
from larqlite_runtime._profile import Profile
from larqlite_runtime.notebook import ShownTable, ShowsTables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

# Closer than this counts as equal.
CLOSE = 1.05
PACKED = "larqlite"


@dataclasses.dataclass(frozen=True)
class Timing:
    """One engine.

    Attributes:
        engine: its name.
        what: what it ran, and how.
        median, low, high: seconds of a call: the median and the quartiles of all turns.
        turns: how many there were.
        difference: the largest difference of its outputs from those of the packed file,
            relative to the largest output.
    """

    engine: str
    what: str
    median: float
    low: float
    high: float
    turns: int
    difference: float


@dataclasses.dataclass(frozen=True)
class Benchmark(ShowsTables):
    """What was measured; `str()` of it is a table with the verdict.

    Attributes:
        file: its path.
        bytes: its size.
        batch: samples of a call.
        threads: of each engine.
        isa: the instruction set of the packed kernels.
        timings: the packed file first.
        profile: its time step by step.
    """

    file: str
    bytes: int
    batch: int
    threads: int
    isa: str
    timings: tuple[Timing, ...]
    profile: Profile

    @property
    def packed(self) -> Timing:
        """The packed file."""
        return self.timings[0]

    @property
    def fastest_float(self) -> Timing | None:
        """The fastest of the others, which compute on floats; None if there are none."""
        return min(self.timings[1:], key=lambda t: t.median, default=None)

    def verdict(self) -> str:
        """Who wins, and by how much, in a sentence."""
        other = self.fastest_float
        mine = _milliseconds(self.packed.median)
        if other is None:
            return f"The packed kernels take {mine} ms."
        theirs = f"{_milliseconds(other.median)} ms of {other.engine}"
        ratio = other.median / self.packed.median
        if ratio >= CLOSE:
            return (
                f"The packed kernels win: {mine} ms against {theirs}, the fastest float "
                f"path: {ratio:.1f} times faster."
            )
        if ratio <= 1 / CLOSE:
            return (
                f"The float path wins: {theirs} against {mine} ms of the packed kernels, "
                f"{1 / ratio:.1f} times faster."
            )
        return f"Neither wins: {mine} ms of the packed kernels, {theirs}."

    def to_dict(self) -> dict[str, Any]:
        """The same in types that JSON knows."""
        return {
            **dataclasses.asdict(self),
            "profile": self.profile.to_dict(),
            "verdict": self.verdict(),
        }

    def __str__(self) -> str:
        (table,) = self._shown()
        text = tables.text(table.header, table.rows)
        title, *notes = map(tables.folded, (table.title, *table.notes))
        return "\n".join([title, text, *notes])

    def _shown(self) -> list[ShownTable]:
        rows = [
            (
                timing.engine,
                _milliseconds(timing.median),
                f"{_milliseconds(timing.low)} to {_milliseconds(timing.high)}",
                f"{timing.median / self.packed.median:.2f}",
                timing.what,
            )
            for timing in self.timings
        ]
        header = ("engine", "ms", "quartiles", "times the packed", "what it runs")
        title = (
            f"{self.file} ({self.bytes:,} bytes): batches of {self.batch}, "
            f"{self.threads} thread{'s' * (self.threads != 1)}"
        )
        notes = [self.verdict()]
        off = max((timing.difference for timing in self.timings[1:]), default=None)
        if off is not None:
            notes.append(f"Their outputs differ by up to {off:.0e} of the largest.")
        if self.isa == "numpy":
            notes.append("There are no native kernels here: NumPy runs packed layers.")
        return [ShownTable(title, header, rows, notes)]

    def plot(self, path: str | Path, **look: Unpack[pictures.Look]) -> None:
        """Draws the medians as bars, the quartiles as whiskers.

        Args:
            path: of the picture; its suffix chooses the format.
            **look: see `larqlite_runtime.pictures.Look`.
        """
        drawing = pictures.Drawing("lq benchmark", path, look)
        draw_timings(drawing, self.file, self.batch, self.threads, self.timings)


def draw_timings(
    drawing: pictures.Drawing,
    file: str,
    batch: int,
    threads: int,
    timings: Sequence[Timing],
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draws times as bars, the packed file first, and how many times it the others take."""
    figure, (ax,) = drawing.axes(1, axes, cell=(7, 1.1 + 0.6 * len(timings)))
    places = range(len(timings))
    whiskers = [
        [1e3 * (timing.median - timing.low) for timing in timings],
        [1e3 * (timing.high - timing.median) for timing in timings],
    ]
    packed = timings[0]
    ax.barh(
        places,
        [1e3 * timing.median for timing in timings],
        xerr=whiskers,
        height=0.7,
        color=[pictures.COLORS[0] if t is packed else pictures.QUIET for t in timings],
        ecolor="black",
        error_kw={"linewidth": 1, "capsize": 3},
    )
    ax.set_yticks(places, [timing.engine for timing in timings])
    ax.invert_yaxis()
    for place, timing in zip(places, timings, strict=True):
        text = f"{_milliseconds(timing.median)} ms"
        if timing is not packed:
            ratio = timing.median / packed.median
            text += f", {ratio:.{0 if ratio >= 100 else 1}f} times as long"
        ax.annotate(
            text,
            (1e3 * max(timing.high, timing.median), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_xlim(0, 1.55 * 1e3 * max(max(t.high, t.median) for t in timings))
    plural = "s" * (threads != 1)
    ax.set(
        title=f"{Path(file).name}, batch {batch}, {threads} thread{plural}",
        xlabel="milliseconds a call, median and quartiles",
    )
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    return drawing.done(figure)


def _milliseconds(seconds: float) -> str:
    """Three digits.

    >>> _milliseconds(0.000123456), _milliseconds(0.0123456), _milliseconds(1.23456)
    ('0.123', '12.3', '1,235')
    """
    value = 1e3 * seconds
    for digits, limit in ((3, 1), (2, 10), (1, 100)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
