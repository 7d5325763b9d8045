"""What a search found: the best widths at each cost, as data, a table and models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite._tables import as_text, print_tables
from larqlite.errors import ArgumentError
from larqlite_runtime.notebook import ShownTable, ShowsTables

if TYPE_CHECKING:
    import tf_keras
    from matplotlib.figure import Figure

__all__ = ["BitsPoint", "BitsSearch"]


@dataclasses.dataclass(frozen=True)
class BitsPoint:
    """Widths for all layers, and what a network with them costs and gives.

    Attributes:
        widths: the word of a width by the name of a layer.
        cost: of the whole network, counted or measured with these widths.
        noise: what the search made least: the sum over layers of the noise of the outputs,
            relative to their signal.
        sqnr_db: signal-to-quantization-noise ratio of the outputs, measured, nothing trained.
        accuracy: share of right labels, likewise; None without labels.
    """

    widths: Mapping[str, str]
    cost: float
    noise: float
    sqnr_db: float
    accuracy: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class BitsSearch(ShowsTables):
    """What `lq.search.bits` found; `str()` of it is a table.

    Attributes:
        name: of the model.
        cost: what was counted or measured: "bytes", "bops", "ace" and so on.
        unit: of it.
        budget: what the network may cost.
        float_cost: what it costs in float.
        float_accuracy: share of right labels in float; None without labels.
        samples: how many inputs there were.
        points: the Pareto front of cost and noise, from the cheapest to the dearest.
        best: of those within the budget the one that is measured best: by accuracy where
            there are labels, then by its signal over noise.
    """

    name: str
    cost: str
    unit: str
    budget: float
    float_cost: float
    float_accuracy: float | None
    samples: int
    points: tuple[BitsPoint, ...]
    best: BitsPoint
    _quantized: Callable[[Mapping[str, str]], tf_keras.Model] | None = None

    def model(self, point: BitsPoint | None = None) -> tf_keras.Model:
        """The quantization-aware copy of the model with the widths of a point.

        It has the float weights and calibrated ranges: train it on, export it.

        Args:
            point: one of `points`; the best one by default.

        Raises:
            ArgumentError: the result was read from a file, which holds no model.
        """
        if self._quantized is None:
            raise ArgumentError(
                "BitsSearch.model: this result holds no model.\n"
                "  Fix: lq.qat.quantize_apply(model, point.widths, calibrate=data), or "
                "search again with the same folder, which takes no time."
            )
        return self._quantized((point or self.best).widths)

    def to_dict(self) -> dict[str, Any]:
        """The result in types that JSON knows."""
        kept = ("name", "cost", "unit", "budget", "float_cost", "float_accuracy")
        return {name: getattr(self, name) for name in (*kept, "samples")} | {
            "points": [dataclasses.asdict(point) for point in self.points],
            "best": self.points.index(self.best),
        }

    def plot(self, path: str | Path | None = None, **look: Any) -> Figure:
        """Draws the front, see `lq.plot.search`."""
        from larqlite.plot import search

        return search(self, path=path, **look)

    print = print_tables

    def __str__(self) -> str:
        return as_text(self._shown())

    def __repr__(self) -> str:
        return (
            f'<BitsSearch of "{self.name}": {len(self.points)} points, best '
            f"{number(self.best.cost)} {self.unit} of {number(self.budget)}>"
        )

    def _shown(self):
        layers = list(self.best.widths)
        rows = [
            (
                ("* " if point is self.best else "") + number(point.cost),
                f"{point.sqnr_db:.1f}",
                *(() if self.float_accuracy is None else (_percent(point.accuracy),)),
                *(point.widths[layer] for layer in layers),
            )
            for point in self.points
        ]
        accuracy = () if self.float_accuracy is None else ("accuracy",)
        title = (
            f'"{self.name}": widths by {self.cost}, nothing trained; * is the best within '
            f"{number(self.budget)} {self.unit}"
        )
        notes = [f"in float: {number(self.float_cost)} {self.unit}"]
        if self.float_accuracy is not None:
            notes[0] += f", {_percent(self.float_accuracy)} of {self.samples:,} right"
        yield ShownTable(
            title, (self.unit, "SQNR (dB)", *accuracy, *layers), rows, notes
        )


def number(value: float) -> str:
    """A cost as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def best_within(points: Sequence[BitsPoint], budget: float) -> BitsPoint | None:
    """The point that is measured best of those that cost no more; None if all cost more.

    By accuracy, where there are labels, then by signal over noise, then the cheapest.
    """
    within = [point for point in points if point.cost <= budget]
    return max(within, key=_measured, default=None)


def _measured(point: BitsPoint) -> tuple[float, float, float]:
    return point.accuracy or 0.0, point.sqnr_db, -point.cost
