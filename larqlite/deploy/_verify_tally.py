"""Runs a file on one engine, in parts and as a whole, and counts what differs from Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from larqlite.deploy._verify_engine import Run, RuntimeEngine, StockEngine
from larqlite.deploy._verify_expected import Expected, Wanted
from larqlite.deploy._verify_file import Cut, Entry, File, together
from larqlite.deploy._verify_result import (
    Differences,
    LayerVerification,
    OutputVerification,
    Verification,
)


class Tally:
    """Counts over batches.

    Args:
        file: the file.
        engine: what runs it.
        tolerance: the relative difference up to which floats count as equal.
    """

    def __init__(
        self, file: File, engine: RuntimeEngine | StockEngine, tolerance: float
    ) -> None:
        self._file, self._engine = file, engine
        self._alone = _Parts(engine, [self._own(entry) for entry in file.entries])
        self._between = _Parts(engine, self._segments())
        self._whole = engine.whole()
        inner = [*file.outputs, *(entry.quantized for entry in file.entries)]
        tapped = list(dict.fromkeys(n for n in inner if n not in file.inputs))
        self._tapped = engine.part(file.inputs, tapped)
        self._paths: dict[str, str] = {}
        self._samples = 0
        roles = ("quantized", "accumulators", "output", "values", "flips", "run")
        self._rows = [
            {role: _Counter(tolerance) for role in roles} for _ in file.entries
        ]
        self._before = {role: _Counter(tolerance) for role in ("values", "flips")}
        self._results = {name: _Counter(tolerance) for name in file.outputs}
        self._labels = dict.fromkeys(file.outputs, (0, 0))

    def _own(self, entry: Entry) -> Cut:
        """A packed layer alone."""
        wanted = (entry.quantized, entry.accumulator, entry.output)
        return self._file.cut(filter(None, wanted), [entry.input])

    def _segments(self) -> list[Cut]:
        """What lies between packed layers: up to the input of each of them in turn, and
        up to the outputs of the model.

        A layer runs in the first of them that it leads to; those behind begin at its
        output.
        """
        fed = list(dict.fromkeys(entry.input for entry in self._file.entries))
        targets = {tensor: [tensor] for tensor in (*fed, *self._file.outputs)}
        for entry in self._file.entries:
            targets[entry.input].append(entry.quantized)
        stops = {*fed, *self._file.inputs}
        cuts = []
        for tensor, wanted in targets.items():
            if tensor in self._file.inputs:
                continue
            cut = self._file.cut(wanted, stops - {tensor})
            cuts.append(cut)
            stops.update(
                entry.output
                for entry in self._file.entries
                if entry.sums in cut.made and entry.output is not None
            )
        return cuts

    def add(self, expected: Expected) -> None:
        """Takes a batch into account."""
        known = {**expected.inputs, **expected.known}
        alone, between = self._alone(known), self._between(known)
        whole, tapped = self._whole(expected.inputs), self._tapped(expected.inputs)
        if not self._paths:
            self._paths = self._engine.paths(expected.inputs)
        quantized = {}
        for entry, row, tensors in zip(
            self._file.entries, self._rows, expected.layers, strict=True
        ):
            if "quantized" in tensors:
                wanted = tensors["quantized"]
                own = alone.get(entry.quantized)
                row["quantized"].add(
                    dataclasses.replace(wanted, low=None, high=None), own
                )
                row["run"].add(wanted, tapped.get(entry.quantized))
                # A wrong quantizer is a fault of its own layer, not of one before.
                array = wanted.array if own is None else own
                quantized[entry.quantized] = dataclasses.replace(wanted, array=array)
            if "accumulators" in tensors:
                row["accumulators"].add(
                    tensors["accumulators"], alone[entry.accumulator]
                )
            if "output" in tensors:
                row["output"].add(tensors["output"], alone.get(entry.output))
        self._add_followers(expected, between, quantized)
        for name, values in expected.outputs.items():
            self._results[name].add(Wanted(values), whole[name])
            if values.ndim > 1 and values.shape[-1] > 1:
                same = values.argmax(-1) == whole[name].argmax(-1)
                labels, agreeing = self._labels[name]
                self._labels[name] = labels + same.size, agreeing + int(same.sum())
        self._samples += expected.samples

    def _add_followers(self, expected: Expected, found: dict, quantized: dict) -> None:
        """Counts what comes out of each segment for the packed layers in it."""
        wanted = {name: Wanted(array) for name, array in expected.known.items()}
        wanted |= {name: Wanted(array) for name, array in expected.outputs.items()}
        wanted |= quantized
        for cut in self._between.cuts:
            rows = [
                row
                for entry, row in zip(self._file.entries, self._rows, strict=True)
                if entry.sums in cut.made
            ]
            for row in rows or [self._before]:
                for name in cut.outputs:
                    role = "flips" if name in quantized else "values"
                    row[role].add(wanted[name], found[name])

    def result(self, name: str, stock: Verification | None = None) -> Verification:
        """What was found.

        Args:
            name: of the model.
            stock: what another engine gave.
        """
        outputs = [
            OutputVerification(output, counter.counted(), *self._labels[output])
            for output, counter in self._results.items()
        ]
        return Verification(
            name=name,
            engine=self._engine.name,
            samples=self._samples,
            layers=tuple(map(self._row, self._file.entries, self._rows)),
            before=self._before["values"].counted(),
            before_flips=self._before["flips"].counted(),
            outputs=tuple(outputs),
            stock=stock,
        )

    def _row(self, entry: Entry, row: dict[str, _Counter]) -> LayerVerification:
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
            run_flips=counts["run"],
            note="not compared: a call of its own" if is_unknown else "",
        )


class _Parts:
    """Several cuts of a file, run in as few models as possible."""

    def __init__(
        self, engine: RuntimeEngine | StockEngine, cuts: Iterable[Cut]
    ) -> None:
        self.cuts = [cut for cut in cuts if cut.outputs]
        self._runs: list[tuple[list[str], Run]] = []
        for group in together(self.cuts):
            inputs = list(dict.fromkeys(n for cut in group for n in cut.inputs))
            outputs = list(dict.fromkeys(n for cut in group for n in cut.outputs))
            self._runs.append((inputs, engine.part(inputs, outputs)))

    def __call__(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for inputs, run in self._runs:
            found.update(run({name: arrays[name] for name in inputs}))
        return found


class _Counter:
    """How many values differ, and by how much."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._values = self._different = self._unexplained = 0
        self._largest = self._magnitude = 0.0

    def add(self, wanted: Wanted, found: np.ndarray | None) -> None:
        """Compares an array with that of Keras; None is one that was only fed."""
        if found is None:
            return
        expected = wanted.array
        if found.shape != expected.shape:  # stored as Keras has it
            found = np.moveaxis(found, -1, 1)
        if wanted.is_exact:
            factor = np.float32(wanted.factor)
            expected, found = np.rint(expected * factor), np.rint(found * factor)
        self._values += expected.size
        if np.array_equal(expected, found):
            return
        same = (expected == found) | (np.isnan(expected) & np.isnan(found))
        with np.errstate(invalid="ignore"):  # of infinities that are the same
            difference = np.abs(np.where(same, 0, expected.astype(np.float64) - found))
        finite = expected[np.isfinite(expected)]
        self._magnitude = max(self._magnitude, float(np.abs(finite).max(initial=0)))
        limit = 0.0 if wanted.is_exact else self._tolerance * self._magnitude
        is_different = ~(difference <= limit)  # so that NaN is
        is_explained = np.zeros_like(is_different)
        if wanted.low is not None:
            low, high = (
                end * np.float32(wanted.factor) for end in (wanted.low, wanted.high)
            )
            room = limit + 1e-3 * wanted.is_exact
            is_explained = (found >= low - room) & (found <= high + room) & is_different
        self._different += int(is_different.sum())
        self._unexplained += int((is_different & ~is_explained).sum())
        difference[is_explained] = 0
        # NaN, where only one of the two has it, stays the largest.
        self._largest = float(np.maximum(self._largest, difference.max(initial=0)))

    def counted(self) -> Differences | None:
        """What was counted; None if nothing was."""
        if not self._values:
            return None
        return Differences(
            self._values,
            self._different,
            self._unexplained,
            self._largest,
            self._largest / max(self._magnitude, 1e-30),
        )
