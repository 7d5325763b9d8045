"""Parts of a file, run alone in as few models as possible."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from larqlite.deploy.verifier._engine import Run, RuntimeEngine, StockEngine
from larqlite.deploy.verifier._file import Cut, DeployedFile, together

# Values of a sample beyond which the memory of a part is given back after each use.
LARGE = 2**22


class Parts:
    """Several cuts of a file on one engine.

    Args:
        file: the file.
        engine: what runs them.
        cuts: the parts.
    """

    def __init__(
        self,
        file: DeployedFile,
        engine: RuntimeEngine | StockEngine,
        cuts: Iterable[Cut],
    ) -> None:
        self._engine = engine
        self._cuts = list(cuts)
        self._groups = together(self._cuts)
        self._is_large = file.values_a_sample > LARGE
        self._runs: dict[int, tuple[list[str], Run]] = {}

    def __call__(self, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """What comes out of each cut, by name, given arrays by name."""
        found: list[dict[str, np.ndarray]] = [{} for _ in self._cuts]
        for place, group in enumerate(self._groups):
            inputs, run = self._runs.get(place) or self._opened(group)
            if not self._is_large:
                self._runs[place] = inputs, run
            results = run({name: arrays[name] for name in inputs})
            for number in group:
                outputs = self._cuts[number].outputs
                found[number] = {name: results[name] for name in outputs}
        return found

    def _opened(self, group: list[int]) -> tuple[list[str], Run]:
        cuts = [self._cuts[number] for number in group]
        inputs = list(dict.fromkeys(n for cut in cuts for n in cut.inputs))
        outputs = list(dict.fromkeys(n for cut in cuts for n in cut.outputs))
        return inputs, self._engine.part(inputs, outputs)
