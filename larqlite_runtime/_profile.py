"""Where the time of a model goes, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_runtime.tables import aligned, folded, shortened

PATHS = {
    "amx": "AMX",
    "avx512": "AVX-512",
    "avx2": "AVX2",
    "neon": "NEON",
    "portable": "portable",
    "numpy": "numpy",
}


@dataclass(frozen=True)
class StepTime:
    """One step of a model.

    Attributes:
        layer: names of the nodes that it stands for.
        kind: "conv", "depthwise", "load", "pool_max"..., or "segment".
        path: what ran it: an instruction set, "numpy" or "onnxruntime".
        seconds: of one call.
        products: products of one call, of single bits or of codes; 0 where values are floats.
    """

    layer: str
    kind: str
    path: str
    seconds: float
    products: int

    @property
    def gmacs(self) -> float:
        """10^9 of these products per second."""
        return self.products / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True)
class Profile(ShowsTables):
    """The times of a model.

    Attributes:
        steps: in the order in which they run.
        seconds: of one whole call, measured apart from the steps.
        batch: samples of the call.
        threads: that worked on it, where no other call had them.
        float_layers: what multiplies in float, and why; see
            `larqlite_runtime.float_layers`.
    """

    steps: tuple[StepTime, ...]
    seconds: float
    batch: int
    threads: int
    float_layers: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """The same as dictionaries and numbers."""
        return asdict(self) | {
            "steps": [asdict(step) | {"gmacs": step.gmacs} for step in self.steps]
        }

    def by_path(self) -> dict[str, float]:
        """Seconds of each path."""
        total: dict[str, float] = {}
        for step in self.steps:
            total[step.path] = total.get(step.path, 0.0) + step.seconds
        return total

    def __str__(self) -> str:
        (table,) = self._shown()
        text = aligned(table.header, table.rows, right=(3, 4))
        return "\n".join([text, *map(folded, table.notes)])

    def _shown(self) -> list[ShownTable]:
        rows = [
            (
                shortened(step.layer),
                step.kind,
                step.path,
                f"{step.seconds * 1e6:.1f}",
                f"{step.gmacs:.0f}" if step.products else "",
            )
            for step in self.steps
        ]
        head = ("layers", "kind", "path", "us", "GMAC/s")
        parts = [
            f"{path} {seconds * 1e6:.0f} us" for path, seconds in self.by_path().items()
        ]
        whole = (
            f"{self.seconds * 1e6:.0f} us a call of {self.batch} on {self.threads} "
            f"thread{'s' * (self.threads != 1)}: {', '.join(parts)}"
        )
        return [ShownTable("", head, rows, [whole, *in_float(self.float_layers)])]


def in_float(float_layers: Mapping[str, str]) -> list[str]:
    """Lines that name what multiplies in float, and why."""
    by_reason: dict[str, list[str]] = {}
    for layer, why in float_layers.items():
        by_reason.setdefault(why, []).append(layer)
    return [f"in float: {', '.join(names)} ({why})" for why, names in by_reason.items()]
