"""The log of the epochs as TensorBoard reads it: each epoch once, after any crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf
import tf_keras

from larqlite_zoo.training._state import History

NOT_DRAWN = ("epoch", "seconds")
VALIDATION = "val_"


class Scalars(tf_keras.callbacks.Callback):
    """Writes the rows of the history as `train/epoch_loss`, `validation/epoch_loss`...

    The files are begun anew by each process, from the history, since an event file that
    a killed process was writing may lack its last epochs.

    Args:
        folder: whose sub-folders `train` and `validation` are replaced.
        history: is written before this callback is called.
    """

    def __init__(self, folder: Path, history: History):
        super().__init__()
        self._history = history
        self._writers = {}
        for name in ("train", "validation"):
            shutil.rmtree(folder / name, ignore_errors=True)
            self._writers[name] = tf.summary.create_file_writer(str(folder / name))
        for row in history.rows:
            self._write(row)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the last row of the history."""
        self._write(self._history.rows[-1])

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, row: dict) -> None:
        for name, value in row.items():
            if name in NOT_DRAWN:
                continue
            split = "validation" if name.startswith(VALIDATION) else "train"
            with self._writers[split].as_default():
                tf.summary.scalar(
                    f"epoch_{name.removeprefix(VALIDATION)}", value, int(row["epoch"])
                )
        for writer in self._writers.values():
            writer.flush()
