"""Writes the costs of every registered model: `python -m larqlite_zoo.make_costs`."""

from __future__ import annotations

import dataclasses
import json
import sys

import tf_keras

import larqlite_zoo  # noqa: F401  (registers the models)
from larqlite_zoo._figures import COSTS, compute_costs
from larqlite_zoo._registered_models import entries


def main() -> None:
    """Builds each model at the input size of its card and writes `_costs.json`."""
    table = {}
    for entry in entries():
        table[entry.name] = dataclasses.asdict(compute_costs(entry))
        tf_keras.backend.clear_session()
        print(entry.name, file=sys.stderr)
    COSTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {COSTS}")


if __name__ == "__main__":
    main()
