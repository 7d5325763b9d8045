"""What the widths of each layer cost, as data and as tables."""

from __future__ import annotations

import dataclasses
import glob
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite._tables import as_text, print_tables
from larqlite.analysis._measured import rank_correlation
from larqlite.errors import ArgumentError, near_matches
from larqlite_runtime.notebook import ShownTable, ShowsTables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LayerSensitivity", "Sensitivity"]

NONE = "-"


@dataclasses.dataclass(frozen=True)
class LayerSensitivity:
    """What one width of one layer costs, all other layers in float.

    Attributes:
        layer: its name.
        class_name: its class.
        weights: how many numbers it holds.
        width: the word of the width.
        sqnr_db: signal-to-quantization-noise ratio of the model's outputs in dB, measured;
            infinite if they are equal. None if it was not measured.
        predicted_db: the same, from gradients; None if that was not asked for.
        accuracy: share of right labels, measured; None without labels.
        accuracy_loss: how much less that is than in float.
    """

    layer: str
    class_name: str
    weights: int
    width: str
    sqnr_db: float | None = None
    predicted_db: float | None = None
    accuracy: float | None = None
    accuracy_loss: float | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Sensitivity(ShowsTables):
    """What each width of each layer costs; `str()` of it is tables.

    Attributes:
        name: of the model.
        samples: how many inputs it was measured on.
        gradient_samples: how many inputs gradients were taken on.
        widths: the words of the widths.
        cells: a `LayerSensitivity` for each width that a layer can have.
        members: by the name of each layer, the layers that get its width: itself, and the
            normalizations and activations that only it feeds.
        accuracy: share of right labels in float; None without labels.
        seconds: processor time of the two ways, by `"measured"` and `"gradients"`.
    """

    name: str
    samples: int
    gradient_samples: int
    widths: tuple[str, ...]
    cells: tuple[LayerSensitivity, ...]
    members: Mapping[str, tuple[str, ...]]
    accuracy: float | None
    seconds: Mapping[str, float]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the order of computation."""
        return tuple(self.members)

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation between the measured and the foretold SQNR of all cells;
        None if one of them is missing."""
        return self._correlation("sqnr_db", 1)

    @property
    def accuracy_rank_correlation(self) -> float | None:
        """The same between the loss of accuracy and the noise that gradients foretell."""
        return self._correlation("accuracy_loss", -1)

    @property
    def cost_ratio(self) -> float | None:
        """How much less processor time gradients took; None if only one way was gone."""
        if len(self.seconds) < 2:
            return None
        return self.seconds["measured"] / max(self.seconds["gradients"], 1e-9)

    def cell(self, layer: str, width: str) -> LayerSensitivity:
        """One width of one layer.

        Raises:
            ArgumentError: there is no such layer or width.
        """
        for cell in self.cells:
            if (cell.layer, cell.width) == (layer, width):
                return cell
        known = list(self.members) if layer not in self.members else list(self.widths)
        wrong = layer if layer not in self.members else width
        raise ArgumentError(
            f'Sensitivity of "{self.name}": there is no {wrong!r} '
            f"({layer} at {width}).{near_matches(wrong, known)}\n"
            f"  Fix: one of {', '.join(known)}."
        )

    def scheme(self, widths: Mapping[str, Any]) -> dict[str, Any]:
        """The scheme for `lq.qat.quantize_apply` that gives layers widths.

        Args:
            widths: a word or scheme for each layer; those that are left out stay float.

        Raises:
            ArgumentError: there is no such layer.
        """
        table = {}
        for layer, width in widths.items():
            if layer not in self.members:
                self.cell(layer, "")  # says what layers there are
            table.update({glob.escape(name): width for name in self.members[layer]})
        return table

    def ranked(self) -> list[LayerSensitivity]:
        """The cells, those first that leave the least signal, as far as it is known."""
        return sorted(self.cells, key=lambda cell: _best_known(cell))

    def to_dict(self) -> dict[str, Any]:
        """The report in types that JSON knows; an infinite ratio is None."""
        return {
            "name": self.name,
            "samples": self.samples,
            "gradient_samples": self.gradient_samples,
            "accuracy": self.accuracy,
            "widths": list(self.widths),
            "members": {layer: list(names) for layer, names in self.members.items()},
            "cells": [
                {
                    key: None if value in (math.inf, -math.inf) else value
                    for key, value in dataclasses.asdict(cell).items()
                }
                for cell in self.cells
            ],
            "rank_correlation": self.rank_correlation,
            "accuracy_rank_correlation": self.accuracy_rank_correlation,
            "seconds": dict(self.seconds),
            "cost_ratio": self.cost_ratio,
        }

    def plot(self, path: str | Path | None = None, **look: Any) -> Figure:
        """Draws it, see `lq.plot.sensitivity`."""
        from larqlite.plot import sensitivity

        return sensitivity(self, path=path, **look)

    print = print_tables

    def __str__(self) -> str:
        return as_text(self._shown())

    def __repr__(self) -> str:
        return (
            f'<Sensitivity of "{self.name}": {len(self.members)} layers, '
            f"{', '.join(self.widths)}>"
        )

    def _correlation(self, attribute: str, sign: int) -> float | None:
        pairs = [
            (getattr(cell, attribute), sign * cell.predicted_db)
            for cell in self.cells
            if getattr(cell, attribute) is not None and cell.predicted_db is not None
        ]
        return rank_correlation(*zip(*pairs, strict=True)) if pairs else None

    def _shown(self):
        is_measured = "measured" in self.seconds
        is_foretold = "gradients" in self.seconds
        said = "measured / from gradients" if is_measured and is_foretold else ""
        said = said or ("measured" if is_measured else "from gradients")
        yield ShownTable(
            f'"{self.name}": signal over noise of the outputs in dB, one layer at a width '
            f"({said})",
            ("layer", "class", "weights", *self.widths),
            self._rows(_ratios),
            () if self.accuracy is not None else self._notes(),
        )
        if self.accuracy is not None:
            yield ShownTable(
                f"points of accuracy lost (float: {100 * self.accuracy:.2f} % of "
                f"{self.samples:,})",
                ("layer", "class", "weights", *self.widths),
                self._rows(_points),
                self._notes(),
            )

    def _rows(self, text) -> list[tuple[str, ...]]:
        by_place = {(cell.layer, cell.width): cell for cell in self.cells}
        rows = []
        for layer in self.members:
            cells = [by_place.get((layer, width)) for width in self.widths]
            any_cell = next(cell for cell in cells if cell is not None)
            rows.append(
                (
                    layer,
                    any_cell.class_name,
                    f"{any_cell.weights:,}",
                    *(NONE if cell is None else text(cell) for cell in cells),
                )
            )
        return rows

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.rank_correlation is not None:
            notes.append(
                "Spearman's rank correlation of gradients with measured dB: "
                f"{self.rank_correlation:.3f}"
            )
        if self.accuracy_rank_correlation is not None:
            notes[-1] += f", with lost accuracy: {self.accuracy_rank_correlation:.3f}"
        if self.cost_ratio is not None:
            notes.append(
                f"processor time: {self.seconds['measured']:.1f} s measured on "
                f"{self.samples:,} samples, {self.seconds['gradients']:.1f} s by gradients "
                f"on {self.gradient_samples:,}: {self.cost_ratio:.0f} times less"
            )
        return tuple(notes)


def _best_known(cell: LayerSensitivity) -> float:
    known = cell.sqnr_db if cell.sqnr_db is not None else cell.predicted_db
    return math.inf if known is None else known


def _ratios(cell: LayerSensitivity) -> str:
    known = [v for v in (cell.sqnr_db, cell.predicted_db) if v is not None]
    return " / ".join(f"{value:.1f}" for value in known)


def _points(cell: LayerSensitivity) -> str:
    if cell.accuracy_loss is None:
        return NONE
    return f"{100 * cell.accuracy_loss:.2f}"
