"""The table of a sweep: one CSV, which several processes write, a row for each run."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import shlex
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from larqlite.errors import ArgumentError
from larqlite_zoo.training._files import write_text

COLUMNS = (
    "model", "recipe", "method", "kernel_quantizer", "input_quantizer", "weight_bits",
    "activation_bits", "dataset", "train_images", "epochs", "precision", "seed", "accuracy",
    "twin_accuracy", "accuracy_in_keras", "bytes", "milliseconds", "refused", "minutes",
    "date", "command",
)  # fmt: skip
# The words of a command from here on say the method: a twin has the same ones before.
METHOD_FLAG = "--kernel-quantizer"


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none if there is no file.

    Raises:
        ArgumentError: the file is no table of a sweep.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        if not {"method", "twin_accuracy", "command"} <= {*(reader.fieldnames or ())}:
            raise ArgumentError(
                f"{path} is no table of a sweep: its columns are "
                f"{', '.join(reader.fieldnames or ())[:200]}.\n"
                "  Fix: another file (--table)."
            )
        return list(reader)


def add(path: Path, row: dict) -> dict:
    """Adds a row, or puts it in the place of the one of its command.

    The table is the old or the new one at any moment, whatever ends the process.

    Returns:
        The row as it stands there, with the accuracy of its twin if that is known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = read(path)
        row = {name: row.get(name, "") for name in COLUMNS}
        there = [i for i, old in enumerate(rows) if old["command"] == row["command"]]
        if there:
            rows[there[0]] = row
        else:
            rows.append(row)
        _fill_in_twins(rows)
        text = io.StringIO()
        writer = csv.DictWriter(
            text, COLUMNS, lineterminator="\n", extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
    return row


def _fill_in_twins(rows: list[dict]) -> None:
    """The accuracy of the float network that the same command gives, in every row."""
    twins = {
        _without_method(row["command"]): row["accuracy"]
        for row in rows
        if row["method"] == "float"
    }
    for row in rows:
        row["twin_accuracy"] = twins.get(_without_method(row["command"]), "")


def _without_method(command: str) -> tuple[str, ...]:
    words = shlex.split(command)
    return tuple(words[: words.index(METHOD_FLAG)])


# Student's t of 97.5 % for 1, 2, ... degrees of freedom; from there on that of a normal
# distribution is near enough.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL = 1.960


def sweep_summary(
    rows: str | os.PathLike | Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    r"""The table of a sweep with its seeds together: a mean and its interval each.

    $$ \bar{a} \pm t_{0.975, n - 1} \, s / \sqrt{n} $$

    of n seeds with the standard deviation s: 95 of 100 such intervals hold the mean of all
    seeds, if accuracies are normally distributed.

    Args:
        rows: the path of the CSV, or its rows.

    Returns:
        A dictionary for each recipe and method, in the order of their first rows: `recipe`,
        `model`, `method`, `weight_bits`, `activation_bits`, `seeds` (a list), `accuracy`
        and `interval` (None for one seed), `below_twin` (points under the float twins of the
        same seeds; None without one) and `below_interval`, `bytes` and `milliseconds` (their
        medians; None without a file).

    Raises:
        ArgumentError: the file is no table of a sweep.

    Example:
        >>> from larqlite_zoo import training
        >>> row = {"recipe": "R", "model": "m", "method": "bnn", "weight_bits": 1,
        ...        "activation_bits": 1, "twin_accuracy": 70.0, "bytes": 100,
        ...        "milliseconds": 0.2}
        >>> rows = [row | {"seed": s, "accuracy": a} for s, a in ((1, 60.0), (2, 62.0))]
        >>> (found,) = training.sweep_summary(rows)
        >>> found["accuracy"], round(found["interval"], 2), found["below_twin"]
        (61.0, 12.71, 9.0)
    """
    if isinstance(rows, (str, os.PathLike)):
        rows = read(Path(rows))
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["recipe"], row["method"]), []).append(row)
    return [_together(group) for group in groups.values()]


def _together(group: list[dict[str, Any]]) -> dict[str, Any]:
    first = group[0]
    accuracies = [float(row["accuracy"]) for row in group]
    below = [
        float(row["twin_accuracy"]) - float(row["accuracy"])
        for row in group
        if row["twin_accuracy"] not in ("", None)
    ]
    files = [row for row in group if row["bytes"] not in ("", None)]
    return {
        "recipe": first["recipe"],
        "model": first["model"],
        "method": first["method"],
        "weight_bits": int(first["weight_bits"]),
        "activation_bits": int(first["activation_bits"]),
        "seeds": sorted(int(row["seed"]) for row in group),
        "accuracy": statistics.fmean(accuracies),
        "interval": _half_width(accuracies),
        "below_twin": statistics.fmean(below) if below else None,
        "below_interval": _half_width(below),
        "bytes": _median(files, "bytes"),
        "milliseconds": _median(files, "milliseconds"),
    }


def _median(rows: list[dict[str, Any]], name: str) -> float | None:
    return statistics.median(float(row[name]) for row in rows) if rows else None


def _half_width(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    quantile = _T[len(values) - 2] if len(values) - 2 < len(_T) else _NORMAL
    return quantile * statistics.stdev(values) / len(values) ** 0.5
