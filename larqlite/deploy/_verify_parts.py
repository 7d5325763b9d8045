"""Parts of a file, run alone in as few models as possible."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from larqlite.deploy._verify_engine import Run, RuntimeEngine, StockEngine
from larqlite.deploy._verify_file import Cut, together


class Parts:
    """Several cuts of a file on one engine.

    Args:
        engine: what runs them.
        cuts: the parts.
    """

    def __init__(
        self, engine: RuntimeEngine | StockEngine, cuts: Iterable[Cut]
    ) -> None:
        self._cuts = list(cuts)
        self._runs: list[tuple[list[int], list[str], Run]] = []
        for group in together(self._cuts):
            cuts = [self._cuts[number] for number in group]
            inputs = list(dict.fromkeys(n for cut in cuts for n in cut.inputs))
            outputs = list(dict.fromkeys(n for cut in cuts for n in cut.outputs))
            self._runs.append((group, inputs, engine.part(inputs, outputs)))

    def __call__(self, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """What comes out of each cut, by name, given arrays by name."""
        found: list[dict[str, np.ndarray]] = [{} for _ in self._cuts]
        for group, inputs, run in self._runs:
            results = run({name: arrays[name] for name in inputs})
            for number in group:
                outputs = self._cuts[number].outputs
                found[number] = {name: results[name] for name in outputs}
        return found
