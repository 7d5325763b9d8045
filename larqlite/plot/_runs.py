"""The runs of a history picture: one or several, with a name for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.plot._curves import read_curves

_WHERE = "lq.plot.history"


class TrainingRun(NamedTuple):
    """One run of training: its name, its epochs from 1 on, its curves by their keys."""

    name: str
    epochs: np.ndarray
    curves: dict[str, np.ndarray]


def runs_of(history: Any, labels: Sequence[str] | None) -> list[TrainingRun]:
    """The runs of what `lq.plot.history` was given.

    Args:
        history: one run, a list of them, or a dictionary of them by name.
        labels: their names, in place of those of the dictionary or of the files.

    Raises:
        ArgumentError: there is none, it cannot be read, or as many names are needed as
            there are runs.
    """
    if isinstance(history, Mapping) and _is_of_runs(history):
        names, histories = [str(name) for name in history], list(history.values())
    elif isinstance(history, (list, tuple)):
        histories = list(history)
        names = names_of(histories)
    else:
        names, histories = [""], [history]
    if not histories:
        raise ArgumentError(
            f"{_WHERE}: got an empty list, which holds no run.\n"
            "  Fix: what model.fit returned, or a path, or a list of these."
        )
    if labels is not None:
        labels = [labels] if isinstance(labels, str) else list(labels)
        if len(labels) != len(histories):
            raise ArgumentError(
                f"{_WHERE}: {len(labels)} labels for {len(histories)} "
                f"run{'s' * (len(histories) != 1)}.\n  Fix: one label for each run."
            )
        names = [str(label) for label in labels]
    read = zip(names, map(read_curves, histories), strict=True)
    return [TrainingRun(name, epochs, curves) for name, (epochs, curves) in read]


def paths_of(history: Any) -> list[Any]:
    """The files that are read."""
    if isinstance(history, (str, Path)):
        return [history]
    each: Iterable[Any] = ()
    if isinstance(history, Mapping):
        each = history.values()
    elif isinstance(history, (list, tuple)):
        each = history
    return [item for item in each if isinstance(item, (str, Path))]


def names_of(histories: Sequence[Any]) -> list[str]:
    """A name for each run: of files, what tells them apart; else its number.

    >>> names_of(["runs/binary/history.csv", "runs/float/history.csv"])
    ['binary', 'float']
    >>> names_of(["a.csv", {"loss": [1.0]}])
    ['a', 'run 2']
    """
    parts = {
        number: Path(item).with_suffix("").parts
        for number, item in enumerate(histories)
        if isinstance(item, (str, Path))
    }
    names = {}
    for number, own in parts.items():
        others = [other for n, other in parts.items() if n != number]
        depth = 1
        while depth < len(own) and any(o[-depth:] == own[-depth:] for o in others):
            depth += 1
        names[number] = list(own[-depth:])
    while len(names) > 1 and all(len(name) > 1 for name in names.values()):
        if len({name[-1] for name in names.values()}) > 1:
            break
        names = {number: name[:-1] for number, name in names.items()}
    found = [
        "/".join(names[number]) if number in names else f"run {number + 1}"
        for number in range(len(histories))
    ]
    return [
        f"{name} ({number + 1})" if found.count(name) > 1 else name
        for number, name in enumerate(found)
    ]


def _is_of_runs(history: Mapping) -> bool:
    """Whether a dictionary has runs; else it has the values of curves."""
    return bool(history) and all(
        isinstance(value, (str, Path, Mapping)) or hasattr(value, "history")
        for value in history.values()
    )
