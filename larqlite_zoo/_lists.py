"""Recipes and datasets as tables and as plain data, for `lqz list`."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
from typing import Any

from rich.console import Console

from larqlite.errors import ArgumentError, near_matches
from larqlite_runtime import tables
from larqlite_zoo import _registered_models
from larqlite_zoo._figures import card
from larqlite_zoo._show import console_of_tables, table


def model_rows(pattern: str = "*") -> list[dict[str, Any]]:
    """The cards of the models whose name matches, as plain data."""
    return [
        dataclasses.asdict(card(name))
        for name in matching(pattern, _registered_models.list_models(), "model")
    ]


def recipe_rows(pattern: str = "*") -> list[dict[str, Any]]:
    """One dictionary for each recipe, one row more for each stage of it.

    A recipe matches by its own name and by its models'.
    """
    from larqlite_zoo import training

    recipes = [training.recipe(name) for name in training.recipe_names()]
    models = {stage.model for each in recipes for stage in _stages(each)}
    found = matching(pattern, [*training.recipe_names(), *models], "recipe or model")
    return [
        {
            "name": each.name,
            "stages": [
                {
                    "model": stage.model,
                    "dataset": stage.dataset,
                    "optimizer": str(stage.optimizer),
                    "epochs": stage.epochs,
                    "batch_size": stage.batch_size,
                }
                for stage in _stages(each)
            ],
            "notes": training.recipe_notes(each.name),
        }
        for each in recipes
        if {each.name, *(stage.model for stage in _stages(each))}.intersection(found)
    ]


def dataset_rows(pattern: str = "*") -> list[dict[str, Any]]:
    """Name and description of each dataset."""
    from larqlite_zoo import datasets
    from larqlite_zoo.datasets.internal import LOADERS

    return [
        {"name": name, "description": _first_line(LOADERS[name])}
        for name in matching(pattern, datasets.names(), "dataset")
    ]


def print_recipes(rows: list[dict[str, Any]], console: Console | None = None) -> None:
    """Prints a line for each recipe, or for each of its stages."""
    cells = []
    for row in rows:
        name = row["name"]
        for stage in row["stages"]:
            optimizer = stage["optimizer"].replace("; ", "\n")
            numbers = str(stage["epochs"]), str(stage["batch_size"])
            cells.append((name, stage["model"], stage["dataset"], *numbers, optimizer))
            name = ""
    header = (
        "Recipe",
        "Model",
        "Dataset",
        "Epochs",
        "Batch",
        "Optimizer, learning rate",
    )
    printed = table(header, cells, right=("Epochs", "Batch"))
    console = console or console_of_tables()
    console.print(printed, soft_wrap=True, markup=False, highlight=False)
    noted: dict[str, list[str]] = {}
    for row in rows:
        if row["notes"]:
            noted.setdefault(row["notes"], []).append(row["name"])
    for note, names in noted.items():
        text = tables.folded(f"{', '.join(names)}: {note}")
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def print_datasets(rows: list[dict[str, Any]], console: Console | None = None) -> None:
    """Prints a line for each dataset."""
    console = console or console_of_tables()
    for row in rows:
        begin = f"{row['name']:<24}"
        text = tables.folded(f"{row['description']}", indent=len(begin))
        console.print(f"{begin}{text}", soft_wrap=True, highlight=False, markup=False)


def matching(pattern: str, names, what: str) -> list[str]:
    """The names that a shell pattern matches, whatever their case.

    Raises:
        ArgumentError: there is none.
    """
    if what == "model":
        found = _registered_models.list_models(pattern)
    else:
        found = [n for n in names if fnmatch.fnmatchcase(n.lower(), pattern.lower())]
    if found:
        return found
    hint = near_matches(pattern.strip("*"), names)
    raise ArgumentError(
        f'no {what} matches "{pattern}".{hint}\n  Fix: a name, or a part of one '
        f'between stars: "*{pattern.strip("*")[:4]}*"; without a pattern all are listed.'
    )


def _stages(recipe) -> tuple:
    return getattr(recipe, "stages", (recipe,))


def _first_line(loader) -> str:
    return (inspect.getdoc(loader) or "").split("\n")[0]
