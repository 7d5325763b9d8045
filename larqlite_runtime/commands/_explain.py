"""The command `lq explain`: how a deployed file runs on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larqlite_runtime.command_output import tell

WHERE = "lq explain"


@dataclass(frozen=True)
class ExplainOptions:
    """Show how a deployed file runs: steps, what is fused into them, memory."""

    file: Path
    json: bool = False
    precision: str = "float32"
    engine: str = "auto"

    def run(self) -> None:
        """Prints steps, buffers, the arena and float layers.

        Raises:
            ModelFileError: the file is missing, damaged, or no packed model.
            ArgumentError: there is no such precision or engine.
            NoNativeStepError: the kernels are to run everything, and have no step for a node.
        """
        tell(lambda: (self._explain(), 0), self.json)

    def _explain(self) -> dict[str, Any]:
        from larqlite_runtime import load

        model = load(self.file, precision=self.precision, engine=self.engine)
        found = model.explain()
        if not self.json:
            print(found)
        return found.to_dict()
