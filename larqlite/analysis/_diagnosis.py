"""What `diagnose` finds, as data, as a table and as pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite._tables import as_text, print_tables
from larqlite_runtime.notebook import ShownTable, ShowsTables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ILLNESSES", "Diagnosis", "Illness", "Histogram", "Judged", "judge"]

DEAD = "dead kernels"
NEVER = "weights that never flip"
SATURATED = "saturated latents"
STARVED = "starved latents"
ZERO_CODES = "zero codes"
CLIPPED = "clipped activations"
UNNORMALIZED = "unnormalized inputs of signs"
RELU = "ReLU before a sign"
NO_CLIP = "missing weight_clip"
EXPLODED = "exploded scales"
NO_GRADIENT = "gradients that are zero"
NOT_FINITE = "numbers that are not finite"

# What the figure of each is a share or size of, and from which on it is ill.
ILLNESSES: dict[str, tuple[str, float]] = {
    DEAD: ("output channels whose weights all have one sign", 0.25),
    NEVER: ("weights that a few steps flip", 0.0),
    SATURATED: ("latent weights at their clip", 0.9),
    STARVED: ("latent weights beyond the clip of their gradient", 0.05),
    ZERO_CODES: ("values that are quantized to zero", 0.98),
    CLIPPED: ("activations at the largest level", 0.4),
    UNNORMALIZED: ("channels with one sign only, or inputs without a gradient", 0.5),
    RELU: ("inputs of the sign that are negative", 0.0),
    NO_CLIP: ("binary kernels of the layer without a constraint", 0.0),
    EXPLODED: ("largest factor that it scales by", 1000.0),
    NO_GRADIENT: ("weights whose gradient is zero in every step", 0.95),
    NOT_FINITE: ("numbers that are NaN or infinite", 0.0),
}
# Ill is what lies at the threshold or below; in the others, what lies above.
_LOW = (NEVER, RELU)


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How the numbers that were judged are spread.

    Attributes:
        counts: numbers in each bin.
        edges: of the bins, one more.
        label: what the numbers are.
        limits: places to be marked, such as a clip.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...]
    label: str
    limits: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Any, label: str, limits: tuple[float, ...] = ()) -> Histogram:
        """That of an array, of its finite numbers."""
        values = np.asarray(values, np.float64).ravel()
        counts, edges = np.histogram(values[np.isfinite(values)], bins=40)
        return cls(
            tuple(map(int, counts)), tuple(map(float, edges)), label, tuple(limits)
        )


@dataclasses.dataclass(frozen=True)
class Judged:
    """One question about one layer, and its answer.

    Attributes:
        layer: the path of the layer.
        illness: a key of `ILLNESSES`.
        figure: what was found.
        threshold: from which on it is ill.
    """

    layer: str
    illness: str
    figure: float
    threshold: float

    @property
    def is_ill(self) -> bool:
        """Whether the figure says so."""
        if self.illness in _LOW:
            return self.figure <= self.threshold
        return not self.figure <= self.threshold


@dataclasses.dataclass(frozen=True)
class Illness(Judged):
    """An illness of a layer.

    Attributes:
        fix: what to do; lines that are indented are code, of `model` and `layer`.
        histogram: the numbers that were judged; None where there are none.
    """

    fix: str = ""
    histogram: Histogram | None = None

    @property
    def meaning(self) -> str:
        """What the figure is a share or size of."""
        return ILLNESSES[self.illness][0]


def judge(
    judged: list[Judged],
    layer: str,
    illness: str,
    figure: float,
    fix: str,
    histogram: Histogram | None = None,
) -> bool:
    """Adds what is found to a list: a `Illness` if it is ill, which is returned."""
    threshold = ILLNESSES[illness][1]
    plain = Judged(layer, illness, float(figure), threshold)
    if plain.is_ill:
        plain = Illness(*dataclasses.astuple(plain), fix, histogram)
    judged.append(plain)
    return plain.is_ill


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(ShowsTables):
    """What is ill in a low-bit network; `str()` of it is a table.

    Attributes:
        name: of the model.
        samples: how many inputs it was looked at with.
        steps: how many training steps a copy of it made.
        judged: every question that was asked of a layer, a `Judged`; those that found
            something are a `Illness`.
    """

    name: str
    samples: int
    steps: int
    judged: tuple[Judged, ...]

    @property
    def findings(self) -> tuple[Illness, ...]:
        """What is ill, in the order of the layers."""
        return tuple(item for item in self.judged if isinstance(item, Illness))

    @property
    def ok(self) -> bool:
        """Whether nothing is ill."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """The report in types that JSON knows."""
        judged = [
            {
                "layer": item.layer,
                "illness": item.illness,
                "figure": item.figure if np.isfinite(item.figure) else None,
                "threshold": item.threshold,
                "is_ill": item.is_ill,
            }
            for item in self.judged
        ]
        findings = [dataclasses.asdict(item) for item in self.findings]
        for item in findings:
            item["figure"] = item["figure"] if np.isfinite(item["figure"]) else None
        return {
            "name": self.name,
            "samples": self.samples,
            "steps": self.steps,
            "ok": self.ok,
            "findings": findings,
            "judged": judged,
        }

    def plot(self, path: str | Path | None = None, **look: Any) -> Figure:
        """Draws the findings, see `lq.plot.diagnosis`."""
        from larqlite.plot import diagnosis

        return diagnosis(self, path=path, **look)

    print = print_tables

    def __str__(self) -> str:
        return as_text(self._shown())

    def __repr__(self) -> str:
        return f'<Diagnosis of "{self.name}": {len(self.findings)} findings>'

    def _shown(self):
        layers = len({item.layer for item in self.judged})
        looked = (
            f"{len(self.judged)} questions about {layers} layers, {self.samples} samples, "
            f"{self.steps} training steps of a copy"
        )
        if self.ok:
            title = f'"{self.name}": nothing is ill'
            yield ShownTable(title, (), (), (looked,))
            return
        yield ShownTable(
            f'"{self.name}": {len(self.findings)} findings',
            ("layer", "illness", "found", "threshold", "which is"),
            [(f.layer, f.illness, *_figures(f), f.meaning) for f in self.findings],
            (
                looked,
                *(f"{f.layer}, {f.illness}. Fix: {f.fix}" for f in self.findings),
            ),
        )


def _figures(found: Illness) -> tuple[str, str]:
    """Figure and threshold as text: shares in percent, factors as they are."""
    if found.illness == EXPLODED:
        return f"{found.figure:.3g}", f"over {found.threshold:g}"
    side = "at most" if found.illness in _LOW else "over"
    return f"{100 * found.figure:.1f} %", f"{side} {100 * found.threshold:g} %"
