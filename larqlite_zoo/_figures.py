"""The cards of models, with their numbers: costs computed, accuracies measured here.

`_costs.json` is written by `python -m larqlite_zoo.make_costs`, `_measured.json` by
`python -m larqlite_zoo.make_measured`; tests compute them anew.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import larqlite as lq
from larqlite_zoo._card import Card, Costs, Measurement
from larqlite_zoo._registered_models import RegisteredModel, find, list_models

COSTS = Path(__file__).with_name("_costs.json")
MEASURED = Path(__file__).with_name("_measured.json")


def card(name: str) -> Card:
    """What is known of a model, every number with its source.

    Args:
        name: as in `larqlite_zoo.get`.

    Raises:
        ArgumentError: there is no such model.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("quicknet").paper.url
        'https://arxiv.org/abs/2011.09398'
    """
    entry = find(name)
    return Card(
        name=entry.name,
        function=entry.function,
        family=entry.family,
        summary=entry.summary,
        paper=entry.paper,
        input_shape=entry.input_shape,
        num_classes=entry.num_classes,
        costs=costs_of(entry),
        published=entry.published,
        measured=measured_of(entry.name),
        weights=entry.weights,
        recipe=entry.recipe,
        notes=entry.notes,
    )


def costs_of(entry: RegisteredModel) -> Costs:
    """The costs as shipped; computed for a model that the shipped table lacks."""
    row = _read(COSTS).get(entry.name)
    if row is None:
        return compute_costs(entry)
    macs = {int(bits): count for bits, count in row["macs"].items()}
    return Costs(**row | {"macs": macs})


def compute_costs(entry: RegisteredModel) -> Costs:
    """The costs at the card's input size, classifier included, from the model itself."""
    model = entry.build(
        input_shape=entry.input_shape, num_classes=entry.num_classes, weights=None
    )
    profile = lq.models.profile(model)
    return Costs(
        parameters=profile.trained_params,
        deployed_parameters=profile.params,
        deployed_bytes=profile.deployed_bytes,
        macs=profile.macs_by_precision,
    )


def measured_of(name: str) -> tuple[Measurement, ...]:
    """The measurements of one registered model."""
    return tuple(
        Measurement(**{key: row[key] for key in row if key != "model"})
        for row in _read(MEASURED)
        if row["model"] == name
    )


def measured_rows(
    files: Iterable[Path], root: Path | None = None
) -> list[dict[str, Any]]:
    """The rows of results files that belong on a card.

    A row counts if its model is registered. Of several rows of the same model,
    dataset and command the last one counts.

    Args:
        files: CSV files with at least the columns `model`, `dataset`, `top1` (percent)
            and `command`; `epochs`, `seed` and `date` where they are known.
        root: the folder that the names of the files are given relative to.

    Returns:
        One dictionary for each row: the fields of `Measurement`, and `model`.
    """
    rows = {}
    for file in files:
        where = file.relative_to(root).as_posix() if root else file.as_posix()
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if row["model"] not in list_models():
                    continue
                entry = find(row["model"])
                key = (entry.name, row["dataset"], row["command"])
                rows[key] = {
                    "model": entry.name,
                    "dataset": row["dataset"],
                    "top1": float(row["top1"]),
                    "command": row["command"],
                    "results": where,
                    "epochs": int(row["epochs"]) if row.get("epochs") else None,
                    "seed": int(row["seed"]) if row.get("seed") else None,
                    "date": row.get("date") or None,
                }
    return [rows[key] for key in sorted(rows)]


@functools.cache
def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
