"""What a benchmark measured, as data, as a table, in words and as a bar chart."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from larqlite_runtime import outputs, tables
from larqlite_runtime._profile import Profile
from larqlite_runtime.notebook import ShownTable, ShowsTables

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
        return "\n".join([table.title, text, *table.notes])

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

    def plot(self, path: str | Path) -> None:
        """Draws the medians as bars, the quartiles as whiskers.

        Args:
            path: of the picture; its suffix chooses the format.
        """
        path = outputs.require_picture(path, "lq benchmark")
        from matplotlib.figure import Figure

        size = (7, 1 + 0.6 * len(self.timings))
        figure = Figure(figsize=size, layout="constrained", dpi=110)
        axes = figure.add_subplot()
        places = range(len(self.timings))
        medians = [1e3 * timing.median for timing in self.timings]
        whiskers = [
            [1e3 * (timing.median - timing.low) for timing in self.timings],
            [1e3 * (timing.high - timing.median) for timing in self.timings],
        ]
        colors = ["C0" if t is self.packed else "0.7" for t in self.timings]
        axes.barh(places, medians, xerr=whiskers, color=colors, ecolor="0.3")
        axes.set_yticks(places, [timing.engine for timing in self.timings])
        axes.invert_yaxis()
        for place, timing in zip(places, self.timings, strict=True):
            text = f"  {_milliseconds(timing.median)} ms"
            axes.annotate(text, (1e3 * timing.high, place), va="center", fontsize=9)
        axes.margins(x=0.2)
        axes.set_xlim(left=0)
        axes.set(
            title=f"{Path(self.file).name}, batch {self.batch}, {self.threads} "
            f"thread{'s' * (self.threads != 1)}",
            xlabel="milliseconds a call",
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with outputs.written_whole(path) as temporary:
            figure.savefig(temporary)


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
