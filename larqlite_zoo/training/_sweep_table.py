"""The table of a sweep: one CSV, which several processes write, a row for each run."""

from __future__ import annotations

import csv
import fcntl
import io
import shlex
from pathlib import Path

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
    """Adds a row, unless its command has one; the table is the old or the new one at any
    moment, whatever ends the process.

    Returns:
        The row as it stands there, with the accuracy of its twin if that is known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = [each for each in read(path) if each["command"] != row["command"]]
        rows.append({name: row.get(name, "") for name in COLUMNS})
        _fill_in_twins(rows)
        text = io.StringIO()
        writer = csv.DictWriter(
            text, COLUMNS, lineterminator="\n", extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
    return rows[-1]


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
