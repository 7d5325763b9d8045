"""What a run has left in its folder, in a form that can be compared."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import tensorflow as tf

TIMES = ("seconds", "minutes", "date", "run", "command")


def checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the newest checkpoint but the time and the number of writes."""
    path = tf.train.latest_checkpoint(str(folder / "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    return {
        name: np.asarray(reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        if not name.startswith(("seconds", "save_counter", "_CHECKPOINTABLE"))
    }


def rows(path: Path) -> list[dict]:
    """The rows of a table, without what depends on the clock."""
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in table]


def events(folder: Path) -> list[tuple[str, int]]:
    """Tag and epoch of every scalar that TensorBoard would show."""
    found = []
    for path in sorted((folder / "tensorboard").glob("*/events.out.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [
                (f"{path.parent.name}/{value.tag}", event.step)
                for value in event.summary.value
            ]
    return found


def results(folder: Path) -> list[dict]:
    """The table of results of the tests, which lies beside the output."""
    return rows(folder.with_name(f"{folder.name}_results") / "fashion_mnist_subset.csv")


def require_equal_runs(one: Path, other: Path) -> None:
    """Fails unless two finished runs have the same bits."""
    weights = [next(folder.glob("*_weights.h5")) for folder in (one, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    tensors = [checkpoint(folder) for folder in (one, other)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, value in tensors[0].items():
        assert value.tobytes() == tensors[1][name].tobytes(), name
    assert rows(one / "history.csv") == rows(other / "history.csv")
    assert results(one) == results(other)
    assert sorted(events(one)) == sorted(events(other))
    assert len(events(other)) == len(set(events(other)))
