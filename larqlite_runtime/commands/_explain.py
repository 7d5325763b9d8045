"""The command `lq explain`: how a deployed file runs on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

WHERE = "lq explain"


@dataclass(frozen=True)
class ExplainOptions:
    """Show how a deployed file runs: steps, what is fused into them, memory."""

    file: Path
    json: bool = False

    def run(self) -> None:
        """Prints steps, buffers, the arena and float layers.

        Raises:
            ModelFileError: the file is missing, damaged, or no packed model.
        """
        from larqlite_runtime import load

        found = load(self.file).explain()
        print(json.dumps(found.to_dict(), indent=2) if self.json else found)
