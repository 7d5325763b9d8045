"""Runs a file on one engine, in parts and as a whole, and counts what differs from Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from larqlite.deploy.verifier._counter import Counter, Labels
from larqlite.deploy.verifier._deployed_file import Cut, DeployedFile, DeployedLayer
from larqlite.deploy.verifier._downstream import DownstreamCheck
from larqlite.deploy.verifier._engine import FileEngine, Parts
from larqlite.deploy.verifier._expected import Expected
from larqlite.deploy.verifier._result import (
    LayerVerification,
    OutputVerification,
    Verification,
)


class EngineReport:
    """Counts over batches.

    Args:
        file: the file.
        engine: what runs it.
        axes: of the classes of each output; None if it has none.
    """

    def __init__(
        self,
        file: DeployedFile,
        engine: FileEngine,
        axes: Sequence[int | None],
    ) -> None:
        self._file, self._engine = file, engine
        self._alone = Parts(file, engine, [_own(file, entry) for entry in file.entries])
        self._downstream = DownstreamCheck(file, engine)
        self._whole = engine.whole()
        inner = [*file.outputs, *(entry.quantized for entry in file.entries)]
        tapped = list(dict.fromkeys(n for n in inner if n not in file.inputs))
        self._tapped = engine.part(file.inputs, tapped)
        self._paths: dict[str, str] = {}
        self._samples = 0
        self._rows = [_counters() for _ in file.entries]
        self._before = _counters()
        self._results = {name: Counter() for name in file.outputs}
        self._labels = {
            name: Labels(axis) for name, axis in zip(file.outputs, axes, strict=True)
        }

    def add(self, expected: Expected) -> None:
        """Takes a batch into account."""
        alone = self._alone({**expected.inputs, **expected.known})
        for number, role, wanted, found in self._downstream(expected, alone):
            row = self._before if number is None else self._rows[number]
            row[role].add(wanted, found)
        whole, tapped = self._whole(expected.inputs), self._tapped(expected.inputs)
        if not self._paths:
            self._paths = self._engine.paths(expected.inputs)
        for entry, row, own, tensors in zip(
            self._file.entries, self._rows, alone, expected.layers, strict=True
        ):
            for role, wanted in tensors.items():
                row[role].add(wanted.without_band(role), own.get(entry.tensor(role)))
            if "quantized" in tensors:
                row["run"].add(tensors["quantized"], tapped.get(entry.quantized))
        for name in self._file.outputs:
            wanted = expected.ends[name]
            self._results[name].add(wanted, whole[name])
            self._labels[name].add(wanted, whole[name])
        self._samples += expected.samples

    def result(self, name: str, stock: Verification | None = None) -> Verification:
        """What was found.

        Args:
            name: of the model.
            stock: what another engine gave.
        """
        return Verification(
            name=name,
            engine=self._engine.name,
            samples=self._samples,
            layers=tuple(map(self._row, self._file.entries, self._rows)),
            before=self._before["values"].counted(),
            before_flips=self._before["flips"].counted(),
            outputs=outputs_of(self._results, self._labels),
            stock=stock,
        )

    def _row(self, entry: DeployedLayer, row: dict[str, Counter]) -> LayerVerification:
        counts = {role: counter.counted() for role, counter in row.items()}
        is_unknown = entry.accumulator is not None and counts["accumulators"] is None
        return LayerVerification(
            layer=entry.path,
            class_name=entry.class_name,
            operation=entry.operation,
            weight_bits=entry.weight_bits,
            path=", ".join(dict.fromkeys(self._paths.get(n, "-") for n in entry.nodes)),
            quantized=counts["quantized"],
            accumulators=counts["accumulators"],
            output=counts["output"],
            output_of="normalization" if entry.is_folded else "layer",
            next_values=counts["values"],
            next_flips=counts["flips"],
            fused=counts["fused"],
            run_flips=counts["run"],
            note="not compared: a call of its own" if is_unknown else "",
        )


class WholeReport:
    """Counts over batches of what runs a file from end to end only.

    Args:
        file: the file.
        engine: what runs it: `engine.traced(inputs)` gives the outputs by name, and the
            sums of packed layers by their paths, in the layout of the file.
        axes: of the classes of each output; None if it has none.
    """

    def __init__(
        self, file: DeployedFile, engine: Any, axes: Sequence[int | None]
    ) -> None:
        self._file, self._engine = file, engine
        self._samples = 0
        self._sums = [Counter() for _ in file.entries]
        self._results = {name: Counter() for name in file.outputs}
        self._labels = {
            name: Labels(axis) for name, axis in zip(file.outputs, axes, strict=True)
        }

    def add(self, expected: Expected) -> None:
        """Takes a batch into account."""
        outputs, sums = self._engine.traced(expected.inputs)
        for entry, counter, tensors in zip(
            self._file.entries, self._sums, expected.layers, strict=True
        ):
            if "accumulators" in tensors and entry.path in sums:
                counter.add(tensors["accumulators"], sums[entry.path])
        for name in self._file.outputs:
            self._results[name].add(expected.ends[name], outputs[name])
            self._labels[name].add(expected.ends[name], outputs[name])
        self._samples += expected.samples

    def result(self, name: str) -> Verification:
        """What was found.

        Args:
            name: of the model.
        """
        nothing = dict.fromkeys(
            ("quantized", "output", "next_values", "next_flips", "fused", "run_flips")
        )
        layers = [
            LayerVerification(
                layer=entry.path,
                class_name=entry.class_name,
                operation=entry.operation,
                weight_bits=entry.weight_bits,
                path=self._engine.name,
                accumulators=counter.counted(),
                output_of="layer",
                note="" if counter.counted() else "not seen",
                **nothing,
            )
            for entry, counter in zip(self._file.entries, self._sums, strict=True)
        ]
        return Verification(
            name=name,
            engine=self._engine.name,
            samples=self._samples,
            layers=tuple(layers),
            before=None,
            before_flips=None,
            outputs=outputs_of(self._results, self._labels),
        )


def outputs_of(
    results: Mapping[str, Counter], labels: Mapping[str, Labels]
) -> tuple[OutputVerification, ...]:
    """What was counted of the outputs of a model, by name."""
    return tuple(
        OutputVerification(
            name=name,
            values=counter.counted(),
            labels=labels[name].count,
            agreeing=labels[name].agreeing,
            ties=labels[name].ties,
        )
        for name, counter in results.items()
    )


def _own(file: DeployedFile, entry: DeployedLayer) -> Cut:
    """A packed layer alone."""
    wanted = (entry.quantized, entry.accumulator, entry.output)
    return file.cut(filter(None, wanted), [entry.input])


def _counters() -> dict[str, Counter]:
    alone = ("quantized", "accumulators", "output")
    roles = (*alone, "values", "flips", "fused", "run")
    return {role: Counter() for role in roles}
