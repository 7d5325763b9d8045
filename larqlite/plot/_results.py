"""Rows of results, wherever they come from: cards of the zoo, tables, files."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from larqlite._io import content_of
from larqlite.errors import ArgumentError

_WHERE = "lq.plot.accuracy"
_NAME = ("label", "name", "model")
_BYTES = ("bytes", "deployed_bytes")
_ACCURACY = ("top1", "accuracy")
_GROUP = ("group", "kind")
PUBLISHED, MEASURED = "published by others", "measured here"


class Point(NamedTuple):
    """A network: its name, its bytes, its accuracy in percent, and what it belongs to."""

    name: str
    bytes: float
    accuracy: float
    group: str = ""
    dataset: str = ""


def points_of(results: Any, dataset: str | None) -> list[Point]:
    """The points of what `lq.plot.accuracy` was given.

    Args:
        results: rows, cards, or the path of a `.csv` or `.json` file.
        dataset: the one to draw; None where there is only one.

    Raises:
        ArgumentError: there is no such file, a row lacks something, several datasets and
            none is chosen, or nothing is there of the one that is.
    """
    where = _WHERE
    if isinstance(results, (str, Path)):
        where = f'{_WHERE}: "{results}"'
        results = _read(results, where)
    if isinstance(results, Mapping):  # by name, or a single row or card
        single = any(key in results for key in _NAME)
        results = [results] if single else _named(results, where)
    if not isinstance(results, Iterable):
        raise ArgumentError(
            f"{where}: got {type(results).__name__}, which holds no results.\n"
            "  Fix: rows with a name, bytes and top1; cards of the zoo; or a path."
        )
    points = [point for row in results for point in _points(row, where)]
    found = list(dict.fromkeys(point.dataset for point in points))
    if dataset is None and len(found) > 1:
        raise ArgumentError(
            f"{where}: there are accuracies on {len(found)} datasets, which are not "
            f"comparable: {', '.join(found)}.\n"
            f'  Fix: dataset="{found[0]}" (lq plot: --dataset {found[0]}).'
        )
    if dataset is not None:
        points = [point for point in points if point.dataset == dataset]
    if not points:
        known = f" They are on {', '.join(filter(None, found))}." if any(found) else ""
        on = f' on "{dataset}"' if dataset else ""
        raise ArgumentError(
            f"{where}: there is no accuracy{on} in it.{known}\n"
            "  Fix: rows with a name, bytes and top1; or cards with an accuracy."
        )
    return points


def _read(path: str | Path, where: str) -> Any:
    fix = (
        "a .csv with the columns model, bytes and top1; or a .json of such rows, or of "
        "lqz list --json."
    )
    text = content_of(path, where, fix, (".csv", ".json"))
    if Path(path).suffix == ".json":
        return text
    return list(csv.DictReader(io.StringIO(text)))


def _named(results: Mapping, where: str) -> list[Mapping]:
    rows = []
    for name, pair in results.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ArgumentError(
                f'{where}: "{name}" is {pair!r}, not (bytes, accuracy).\n'
                '  Fix: {"name": (bytes, accuracy in percent)}.'
            )
        rows.append({"name": str(name), "bytes": pair[0], "top1": pair[1]})
    return rows


def _points(row: Any, where: str) -> Iterator[Point]:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        row = dataclasses.asdict(row)
    if not isinstance(row, Mapping):
        raise ArgumentError(
            f"{where}: got {row!r} as a row.\n"
            "  Fix: a dictionary with a name, bytes and top1; or a card of the zoo."
        )
    if isinstance(row.get("costs"), Mapping):
        yield from _of_card(row)
        return
    _, name = _cell(row, _NAME, where)
    key, accuracy = _number(row, _ACCURACY, where)
    if key == "accuracy" and accuracy <= 1:  # Keras' accuracy is a share
        accuracy *= 100
    group = next((str(row[key]) for key in _GROUP if row.get(key)), "")
    dataset = str(row.get("dataset") or "")
    _, size = _number(row, _BYTES, where)
    yield Point(str(name), size, accuracy, group, dataset)


def _of_card(card: Mapping) -> Iterator[Point]:
    """The first published and the last measured accuracy of each dataset."""
    deployed = card["costs"]["deployed_bytes"]
    for group, rows in (
        (PUBLISHED, reversed(card["published"])),
        (MEASURED, card["measured"]),
    ):
        last = {row["dataset"]: row["top1"] for row in rows}
        for dataset, top1 in last.items():
            yield Point(card["name"], deployed, top1, group, dataset)


def _cell(row: Mapping, names: tuple[str, ...], where: str) -> tuple[str, Any]:
    """The first of some columns that a row has something in, and what it is."""
    for name in names:
        if row.get(name) not in (None, ""):
            return name, row[name]
    raise ArgumentError(
        f"{where}: a row has no {' or '.join(names)}: {dict(row)}.\n"
        f'  Fix: give each row "{names[0]}".'
    )


def _number(row: Mapping, names: tuple[str, ...], where: str) -> tuple[str, float]:
    name, value = _cell(row, names, where)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ArgumentError(
            f"{where}: {name} is {value!r} in a row: {dict(row)}.\n"
            "  Fix: a number from 0 up."
        )
    return name, number
