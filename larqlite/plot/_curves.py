"""Reading the curves of a training run: from Keras, a dictionary, CSV or JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from larqlite._io import content_of
from larqlite.errors import ArgumentError


def read_curves(history) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The curves of a training run, whatever they are kept in.

    Args:
        history: a Keras `History`, a dictionary of lists, or the path of a `.csv`
            (`tf_keras.callbacks.CSVLogger`) or `.json` file (such a dictionary).

    Returns:
        The epochs, counted from 1, and the curves by name, all float64 `(epochs,)`.

    Raises:
        ArgumentError: no such file, a file of another kind, no curve in it, a value
            that is not a number, or curves of different lengths.
    """
    where = "lq.plot.history"
    if isinstance(history, (str, Path)):
        where = f'lq.plot.history: "{history}"'
        table = _read_file(history, where)
    else:
        table = getattr(history, "history", history)
    if not isinstance(table, Mapping):
        raise ArgumentError(
            f"{where}: got {type(table).__name__}, which holds no curves.\n"
            "  Fix: pass what model.fit returned, a dictionary of lists, or the path "
            "of a .csv or .json file."
        )
    curves = {name: _numbers(name, values, where) for name, values in table.items()}
    # CSVLogger writes a column of "NA" for the validation that did not happen.
    curves = {name: c for name, c in curves.items() if not np.isnan(c).all()}
    epochs = curves.pop("epoch", None)
    lengths = {name: len(values) for name, values in curves.items()}
    if not any(lengths.values()):
        raise ArgumentError(
            f"{where}: there is no curve in it.\n"
            "  Fix: train for at least one epoch before drawing."
        )
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"{where}: curves of different lengths: {lengths}.")
    if epochs is None:
        epochs = np.arange(len(next(iter(curves.values()))))
    return epochs + 1, curves


def _read_file(path: str | Path, where: str) -> Any:
    fix = (
        "a .csv of tf_keras.callbacks.CSVLogger, or a .json of model.fit(...).history."
    )
    text = content_of(path, where, fix, (".csv", ".json"))
    if Path(path).suffix == ".json":
        return text
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len({len(row) for row in rows}) > 1:
        raise ArgumentError(f"{where}: its rows have different numbers of columns.")
    return {name: list(column) for name, *column in zip(*rows, strict=True)}


def _numbers(name: str, values, where: str) -> np.ndarray:
    """A curve as float64; "NA" (CSVLogger's word for a missing value) becomes NaN."""
    try:
        return np.array(
            [math.nan if value in ("NA", "", None) else value for value in values]
        ).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f'{where}: the curve "{name}" is not a list of numbers ({error}).'
        ) from error
