"""Writes `tests/golden/larq_summaries.json`: what Larq 0.14.0 prints for six networks.

Run it in an environment with larq==0.14.0, tensorflow and tf-keras:

    TF_USE_LEGACY_KERAS=1 python tests/models/make_larq_summary_golden.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import larq
import tensorflow as tf
from larq_networks import NETWORKS

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "larq_summaries.json"


def main() -> None:
    """Builds each network, keeps the two printed tables as cells, writes them."""
    summaries = {
        network.__name__: _summary(network(larq, tf.keras)) for network in NETWORKS
    }
    golden = {"summaries": summaries}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


def _summary(model: tf.keras.Model) -> dict:
    tables: list[str] = []
    larq.models.summary(model, print_fn=tables.append)
    stats, totals = map(_cells, tables)
    columns, rows, total = stats[0], stats[2:-1], stats[-1]
    return {
        "columns": columns,
        "rows": [dict(zip(columns, row, strict=True)) for row in rows],
        "total": total,
        "totals": {row[0]: row[1] for row in totals},
    }


def _cells(table: str) -> list[list[str]]:
    """The cells of each line between the frame's sides; columns are 2 spaces apart."""
    lines = [line.strip("|").strip() for line in table.splitlines() if line[0] == "|"]
    return [re.split(r"\s{2,}", line) for line in lines]


if __name__ == "__main__":
    main()
