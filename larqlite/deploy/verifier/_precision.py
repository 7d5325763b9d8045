"""The whole file with float layers in another precision: what becomes of labels and signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from larqlite.deploy.verifier._counter import Counter, Labels
from larqlite.deploy.verifier._engine import RuntimeEngine
from larqlite.deploy.verifier._engine_report import outputs_of
from larqlite.deploy.verifier._result import PrecisionVerification

if TYPE_CHECKING:
    import larqlite_runtime
    from larqlite.deploy.verifier._deployed_file import DeployedFile
    from larqlite.deploy.verifier._expected import Expected


class PrecisionReport:
    """Counts over batches.

    Args:
        file: the file.
        model: it, loaded.
        asked: the precision that was asked for.
        axes: of the classes of each output; None if it has none.
    """

    def __init__(
        self,
        file: DeployedFile,
        model: larqlite_runtime.Model,
        asked: str,
        axes: Sequence[int | None],
    ) -> None:
        engine = RuntimeEngine(file, model)
        self._file, self._asked, self._ran = file, asked, model.precision
        inner = [entry.quantized for entry in file.entries]
        inner = list(dict.fromkeys(name for name in inner if name not in file.inputs))
        self._whole = engine.whole()
        self._tapped = engine.part(file.inputs, inner) if inner else lambda _: {}
        self._flips = [Counter() for _ in file.entries]
        self._results = {name: Counter() for name in file.outputs}
        self._labels = {
            name: Labels(axis) for name, axis in zip(file.outputs, axes, strict=True)
        }

    def add(self, expected: Expected) -> None:
        """Takes a batch into account."""
        whole, tapped = self._whole(expected.inputs), self._tapped(expected.inputs)
        for entry, counter, tensors in zip(
            self._file.entries, self._flips, expected.layers, strict=True
        ):
            if "quantized" in tensors:
                counter.add(tensors["quantized"], tapped.get(entry.quantized))
        for name in self._file.outputs:
            wanted = expected.ends[name]
            self._results[name].add(wanted, whole[name])
            self._labels[name].add(wanted, whole[name])

    def result(self) -> PrecisionVerification:
        """What was found."""
        outputs = outputs_of(self._results, self._labels)
        flips = {
            entry.path: counted
            for entry, counter in zip(self._file.entries, self._flips, strict=True)
            if (counted := counter.counted()) is not None
        }
        return PrecisionVerification(self._asked, self._ran, outputs, flips)
