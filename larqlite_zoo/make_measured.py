"""Puts measured accuracies on the cards: `python -m larqlite_zoo.make_measured results/*.csv`.

Run it in the root of the repository: the cards name the files as they are given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import larqlite_zoo  # noqa: F401  (registers the models)
from larqlite_zoo._figures import MEASURED, measured_rows


def main(files: list[str]) -> None:
    """Reads results files and writes `_measured.json`."""
    rows = measured_rows(Path(file) for file in sorted(files))
    MEASURED.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {len(rows)} rows to {MEASURED}")


if __name__ == "__main__":
    main(sys.argv[1:])
