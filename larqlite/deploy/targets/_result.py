"""What a network does on several targets, as data and as one table."""

from __future__ import annotations

import dataclasses
from typing import Any

from larqlite._tables import as_text, print_tables
from larqlite.deploy.targets._target import TargetCost
from larqlite.deploy.verifier import Verification
from larqlite_runtime.notebook import ShownTable, ShowsTables

_HEADER = (
    "target",
    "packed integers equal",
    "labels equal",
    "largest difference",
    "inputs that flip",
    "a sample",
    "bytes",
)


@dataclasses.dataclass(frozen=True)
class TargetRow:
    """A network on one target, against Keras.

    Attributes:
        target: its name, with the variant.
        what: what ran there, for people.
        verification: the layers and outputs; None of the reference and of what was refused.
        cost: what it takes; None if it was refused.
        refused: why the network does not run there, or "".
        is_reference: whether it is Keras itself.
    """

    target: str
    what: str = ""
    verification: Verification | None = None
    cost: TargetCost | None = None
    refused: str = ""
    is_reference: bool = False

    @property
    def integers(self) -> tuple[int, int]:
        """How many quantized inputs and sums of packed layers are those of Keras, each layer
        given its input there, and how many there are."""
        counts = [
            counted
            for row in self._layers
            for counted in (row.quantized, row.accumulators)
            if counted is not None and row.operation != "float"
        ]
        values = sum(counted.values for counted in counts)
        return values - sum(counted.different for counted in counts), values

    @property
    def flips(self) -> tuple[int, int]:
        """How many quantized inputs of packed layers are not those of Keras when the whole
        network runs, and how many there are."""
        counts = [row.run_flips for row in self._layers if row.run_flips]
        values = sum(counted.values for counted in counts)
        return sum(counted.different for counted in counts), values

    @property
    def labels(self) -> tuple[int, int]:
        """How many labels are those of Keras, ties there included, and how many there are."""
        if self.verification is None:
            return 0, 0
        outputs = self.verification.outputs
        agreeing = sum(item.agreeing + item.ties for item in outputs)
        return agreeing, sum(item.labels for item in outputs)

    @property
    def largest(self) -> float | None:
        """The largest difference of an output from Keras; None if there is none to take."""
        if self.verification is None:
            return None
        return max(item.values.largest for item in self.verification.outputs)

    @property
    def ok(self) -> bool:
        """Whether it runs there, each packed layer is exact, and labels are the same."""
        return self.is_reference or bool(self.verification and self.verification.ok)

    @property
    def _layers(self) -> tuple:
        return self.verification.layers if self.verification else ()

    def to_dict(self) -> dict[str, Any]:
        """This row in types that JSON knows."""
        found = self.verification
        return {
            "target": self.target,
            "what": self.what,
            "integers": list(self.integers),
            "labels": list(self.labels),
            "largest": self.largest,
            "flips": list(self.flips),
            "cost": None if self.cost is None else dataclasses.asdict(self.cost),
            "refused": self.refused,
            "is_reference": self.is_reference,
            "ok": self.ok,
            "verification": None if found is None else found.to_dict(),
        }


@dataclasses.dataclass(frozen=True, repr=False)
class TargetsReport(ShowsTables):
    """A network on several targets, against Keras; `str()` of it is a table.

    Attributes:
        name: of the model.
        samples: how many there were.
        rows: the targets that ran, or that refused the network, in the order asked for.
        missing: what has to be installed for those that did not run, by target.
    """

    name: str
    samples: int
    rows: tuple[TargetRow, ...]
    missing: dict[str, str]

    def __getitem__(self, target: str) -> TargetRow:
        """The row of a target, by its name."""
        return {row.target: row for row in self.rows}[target]

    @property
    def ok(self) -> bool:
        """Whether all targets that are installed compute what Keras does."""
        return all(row.ok for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """This comparison in types that JSON knows."""
        return {
            "name": self.name,
            "samples": self.samples,
            "targets": [row.to_dict() for row in self.rows],
            "missing": dict(self.missing),
            "ok": self.ok,
        }

    print = print_tables

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        title = f"{self.name}: Keras against its file ({self.samples} samples)"
        rows = [_cells(row) for row in self.rows]
        return [ShownTable(title, _HEADER, rows, _notes(self))]

    def __repr__(self) -> str:
        wrong = [row.target for row in self.rows if not row.ok]
        said = f"wrong: {', '.join(wrong)}" if wrong else "all as in Keras"
        return f'<TargetsReport "{self.name}": {len(self.rows)} targets, {said}>'


def _cells(row: TargetRow) -> tuple[str, ...]:
    if row.refused:
        return (row.target, "refused", *["-"] * 5)
    cost = row.cost or TargetCost()
    if row.is_reference:
        return (row.target, "the reference", "-", "-", "-", cost.taken, cost.size)
    flipped, inputs = row.flips
    return (
        row.target,
        _count(*row.integers),
        _count(*row.labels),
        f"{row.largest:.1e}" if row.largest else "0",
        f"{flipped:,} of {inputs:,}" if inputs else "-",
        cost.taken,
        cost.size,
    )


def _count(equal: int, values: int) -> str:
    return f"{equal:,} of {values:,}" if values else "-"


def _notes(report: TargetsReport) -> list[str]:
    lines = [f"{row.target}: {row.what}" for row in report.rows if row.what]
    for row in report.rows:
        if row.refused:
            lines.append(f"{row.target}: REFUSED: {row.refused}")
        elif not row.ok:
            lines.append(f"{row.target}: {_wrong(row)}")
    lines += [f"{name}: NOT RUN: {why}" for name, why in report.missing.items()]
    return lines


def _wrong(row: TargetRow) -> str:
    if row.verification.wrong:
        return f"WRONG: {', '.join(row.verification.wrong)}"
    agreeing, labels = row.labels
    return f"WRONG: {labels - agreeing:,} labels"
