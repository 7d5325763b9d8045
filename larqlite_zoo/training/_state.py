"""What a run needs to go on after a crash: checkpoints and the log of its epochs."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite_zoo.training._files import (
    OutputError,
    raise_if_full,
    write_json,
    write_text,
)

UNFINISHED = ("*_temp", "*.tempstate*", "checkpoint.tmp*")


class Checkpoints:
    """The last checkpoints of a run: weights, optimizer, metrics, random state, step.

    TensorFlow writes a checkpoint under temporary names, renames it, and then names it
    in the file `checkpoint`, itself replaced in one step. A process killed at any moment
    therefore leaves the previous checkpoint in force.

    Args:
        folder: where they lie.
        model: compiled; its metrics exist (it was evaluated once).
        keep: how many.
        writes: False for a worker that only takes part in the collective reads.
        random_states: variables beside those of the model; see `random_state`.

    Attributes:
        step: steps done at the last `save` or `restore`.
        seconds: of training, at that moment.
        last: path of the last good checkpoint, or None.
        damaged: paths that `restore` had to pass over.
    """

    def __init__(
        self,
        folder: Path,
        model: tf_keras.Model,
        keep: int,
        writes: bool,
        random_states: Sequence[tf.Variable] = (),
    ):
        self.folder, self._keep, self._writes = folder, keep, writes
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.seconds = tf.Variable(
            0.0, dtype=tf.float64, trainable=False, name="seconds"
        )
        self.last: str | None = None
        self.damaged: list[str] = []
        self._model = model
        self._metrics = tf.train.Checkpoint(variables=_metric_variables(model))
        self._all = tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            metrics=self._metrics,
            random=tf.train.Checkpoint(variables=list(random_states)),
            step=self.step,
            seconds=self.seconds,
        )
        # Made now, because all workers make variables together.
        self._all.save_counter  # noqa: B018 - the property creates the variable
        self._manager = self._manager_in(folder) if writes else None

    def save(self, step: int, seconds: float = 0.0) -> str:
        """Writes a checkpoint of the present moment and returns its path.

        Raises:
            OutputError: the disk is full, or the folder can no longer be written.
        """
        self.step.assign(step)
        self.seconds.assign(seconds)
        if not self._writes:
            with tempfile.TemporaryDirectory() as elsewhere:
                self._manager_in(elsewhere).save(checkpoint_number=step)
            return str(self.folder / f"ckpt-{step}")
        try:
            self.last = self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            path = self.folder / f"ckpt-{step}"
            try:
                raise_if_full(path, error, f"  Last good checkpoint: {self.last}.\n")
            finally:
                self._remove_unfinished()
            raise OutputError(
                f"{path}: could not be written ({error}).\n  Last good checkpoint: "
                f"{self.last}.\n  Fix: look after the disk; the same command then goes on."
            ) from error
        return self.last

    def restore(self) -> int:
        """Restores the last checkpoint that is whole and returns its step; 0 without one.

        A checkpoint is read from end to end before anything is assigned, so a damaged
        one changes nothing.

        Raises:
            OutputError: there are checkpoints, and all of them are damaged.
            ArgumentError: the checkpoint is of a model with other variables.
        """
        if self._writes:
            self._remove_unfinished()
        state = tf.train.get_checkpoint_state(str(self.folder))
        listed = (
            {Path(p).name for p in state.all_model_checkpoint_paths} if state else set()
        )
        there = {path.stem for path in self.folder.glob("ckpt-*.index")}
        self.last, self.damaged = None, []
        for name in sorted(listed | there, key=_number_of, reverse=True):
            path = str(self.folder / name)
            if _is_whole(path):
                self._assign(path)
                self.last = path
                return int(self.step.numpy())
            if name in listed or (state is None and not name.endswith("-0")):
                self.damaged.append(path)  # others were never finished
        if self.damaged:
            raise OutputError(
                f"{self.folder}: every checkpoint is damaged: "
                f"{', '.join(Path(p).name for p in self.damaged)}.\n"
                "  Fix: begin anew with --restart, or copy a whole one there."
            )
        return 0

    def restore_metrics(self) -> None:
        """Puts the metrics back to where they were in the checkpoint restored last."""
        tf.train.Checkpoint(metrics=self._metrics).restore(self.last).expect_partial()

    def is_finite(self) -> bool:
        """Whether all weights, and all that the optimizer remembers of them, are finite."""
        variables = [*self._model.weights, *self._model.optimizer.variables]
        return all(
            np.isfinite(value.astype(np.float32, copy=False)).all()
            for value in tf_keras.backend.batch_get_value(variables)
            if value.dtype.kind not in "biuSO"
        )

    def _assign(self, path: str) -> None:
        try:
            self._all.restore(path).assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            raise ArgumentError(
                f"{path} is the checkpoint of a model with other variables: "
                f"{str(error).splitlines()[0]}\n  Fix: the same --flip-ratio and the same "
                "version of larqlite as before, another --output, or --restart."
            ) from error

    def _manager_in(self, folder) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(
            self._all, str(folder), max_to_keep=self._keep, checkpoint_name="ckpt"
        )

    def _remove_unfinished(self) -> None:
        for pattern in UNFINISHED:
            for path in self.folder.glob(pattern):
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_whole(path: str) -> bool:
    """Whether every tensor of a checkpoint can be read; each has its checksum."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError, OSError, LookupError):
        return False
    return True


def _number_of(name: str) -> int:
    number = re.search(r"\d+$", name)
    return int(number.group()) if number else -1


def _metric_variables(model: tf_keras.Model) -> list[tf.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


class History:
    """One row for each finished epoch, in `history.csv` and `history.json`."""

    def __init__(self, folder: Path, writes: bool = True):
        self.folder = folder
        self.rows: list[dict] = []
        self._writes = writes

    def load(self, epochs: int) -> None:
        """Reads the rows of the first `epochs` epochs; later ones are run again.

        Raises:
            OutputError: the file does not hold all of them.
        """
        path = self.folder / "history.csv"
        rows = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, quoting=csv.QUOTE_NONNUMERIC))
        # An epoch without validation leaves its columns empty.
        rows = [{k: v for k, v in row.items() if v not in ("", None)} for row in rows]
        self.rows = [row for row in rows if row["epoch"] < epochs]
        if len(self.rows) < epochs:
            raise OutputError(
                f"{path} holds {len(self.rows)} of the {epochs} epochs that the last "
                "checkpoint has seen.\n  Fix: put the file back, or --restart."
            )

    def add(self, row: dict) -> None:
        """Appends a row, and replaces both files."""
        self.rows.append({key: _number(value) for key, value in row.items()})
        if not self._writes:
            return
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / "history.csv", text.getvalue())
        write_json(self.folder / "history.json", self.rows)


def _number(value) -> float:
    return float(np.asarray(value))
