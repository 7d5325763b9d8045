"""The callback that counts steps, saves checkpoints and the log, and stops at NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tf_keras

from larqlite_zoo.training._state import Checkpoints, History

UNTOLD = "val_flip_ratio"  # always 0: weights stand still in a validation


class Progress(tf_keras.callbacks.Callback):
    """Counts steps over the whole run, saves checkpoints and the log, stops at NaN.

    Args:
        checkpoints, history: where to write.
        steps_per_epoch: of a whole epoch.
        first_step: where this process began.
        every: steps from one checkpoint to the next.
        on_divergence: called with the step after which the loss is not finite, and
            whether it is that of the validation; raises.
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
        on_divergence: Callable[[int, bool], None],
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
            self._on_divergence(self.step, False)
        in_epoch = self.step % self._steps_per_epoch
        # The last step of an epoch is saved with its validation, in `on_epoch_end`.
        if in_epoch and self.step % self._every == 0:
            self._require_finite()
            self._checkpoints.save(self.step, self._clock())

    def on_epoch_end(self, epoch, logs=None):
        """Logs the epoch, then saves: a checkpoint implies the row."""
        self._require_finite()
        if not np.isfinite(logs.get("val_loss", 0.0)):
            self._on_divergence(self.step, True)
        self._history.add(
            {
                "epoch": epoch,
                "learning_rate": self._learning_rate(self.step - 1),
                **{k: v for k, v in logs.items() if not k.startswith(UNTOLD)},
                "seconds": round(self._clock(), 1),
            }
        )
        self._checkpoints.save(self.step, self._clock())

    def _require_finite(self) -> None:
        if not self._checkpoints.is_finite():
            self._on_divergence(self.step, False)
