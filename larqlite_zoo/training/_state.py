"""What a run needs to go on after a crash: checkpoints and the log of its epochs."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite_zoo.training._files import write_json, write_text


class Checkpoints:
    """The last checkpoints of a run: weights, optimizer, metrics and the step.

    TensorFlow writes a checkpoint under temporary names, renames it, and then names it
    in the file `checkpoint`, itself replaced in one step; so a process killed at any
    moment leaves the previous checkpoint in force.

    Args:
        folder: where they lie.
        model: compiled; its metrics exist (it was evaluated once).
        keep: how many.
        writes: False for a worker that only takes part in the collective reads.
    """

    def __init__(self, folder: Path, model: tf_keras.Model, keep: int, writes: bool):
        self.folder = folder
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._metrics = tf.train.Checkpoint(variables=_metric_variables(model))
        self._all = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, metrics=self._metrics, step=self.step
        )
        target = folder if writes else folder.with_name(f".{folder.name}-of-a-worker")
        self._elsewhere = None if writes else target
        self._manager = tf.train.CheckpointManager(
            self._all, str(target), max_to_keep=keep
        )

    def save(self, step: int) -> str:
        """Writes a checkpoint of the present moment and returns its path."""
        self.step.assign(step)
        return self._manager.save(checkpoint_number=step)

    def restore(self) -> int:
        """Restores the last readable checkpoint and returns its step; 0 without one."""
        state = tf.train.get_checkpoint_state(str(self.folder))
        paths = list(state.all_model_checkpoint_paths) if state else []
        for path in reversed(paths):
            try:
                self._all.restore(path).assert_existing_objects_matched()
            except tf.errors.DataLossError:
                continue  # damaged on disk; the one before is older, but whole
            self.last = path
            return int(self.step.numpy())
        self.last = None
        return 0

    last: str | None = None

    def restore_metrics(self) -> None:
        """Puts the metrics back to where they were in the checkpoint restored last."""
        tf.train.Checkpoint(metrics=self._metrics).restore(self.last).expect_partial()

    def close(self) -> None:
        """Removes what a worker that does not write has written for form's sake."""
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)


def _metric_variables(model: tf_keras.Model) -> list[tf.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


class History:
    """One row for each finished epoch, in `history.csv` and `history.json`."""

    def __init__(self, folder: Path, writes: bool = True):
        self.folder = folder
        self.rows: list[dict] = []
        self._writes = writes

    def load(self, epochs: int) -> None:
        """Reads the rows of the first `epochs` epochs; later ones are run again."""
        path = self.folder / "history.csv"
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, quoting=csv.QUOTE_NONNUMERIC))
            self.rows = [row for row in rows if row["epoch"] < epochs]

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


class Progress(tf_keras.callbacks.Callback):
    """Counts steps over the whole run, saves checkpoints and the log, stops at NaN.

    Args:
        checkpoints, history: where to write.
        steps_per_epoch: of a whole epoch.
        first_step: where this process began.
        every: steps from one checkpoint to the next.
        on_divergence: called with the step after which the loss is not finite; raises.
        learning_rate: `step -> float`, for the log.
        clock: `() -> float`, seconds of training so far.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        history: History,
        *,
        steps_per_epoch: int,
        first_step: int,
        every: int,
        on_divergence: Callable[[int], None],
        learning_rate: Callable[[int], float],
        clock: Callable[[], float],
    ):
        super().__init__()
        self._checkpoints = checkpoints
        self._history = history
        self._steps_per_epoch = steps_per_epoch
        self._every = every
        self._on_divergence = on_divergence
        self._learning_rate = learning_rate
        self._clock = clock
        self._resumes_inside = first_step % steps_per_epoch > 0
        self.step = first_step

    def on_epoch_begin(self, epoch, logs=None):
        """Metrics of an epoch that was interrupted go on from the checkpoint."""
        if self._resumes_inside:
            self._checkpoints.restore_metrics()
            self._resumes_inside = False

    def on_train_batch_end(self, batch, logs=None):
        """Counts the step, looks at the loss, saves now and then."""
        self.step += 1
        if not np.isfinite(logs["loss"]):
            self._on_divergence(self.step)
        in_epoch = self.step % self._steps_per_epoch
        # The last step of an epoch is saved with its validation, in `on_epoch_end`.
        if in_epoch and self.step % self._every == 0:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        """Logs the epoch, then saves: a checkpoint implies the row."""
        self._history.add(
            {
                "epoch": epoch,
                "learning_rate": self._learning_rate(self.step - 1),
                **logs,
                "seconds": round(self._clock(), 1),
            }
        )
        self._save()

    def _save(self) -> None:
        if not all(np.isfinite(w).all() for w in self.model.get_weights()):
            self._on_divergence(self.step)
        self._checkpoints.save(self.step)
