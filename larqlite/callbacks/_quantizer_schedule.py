"""QuantizerSchedule: tells quantizers how far training is, of which their gradients depend."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._two_kerases import CallbackOfTfKeras
from larqlite.errors import ArgumentError
from larqlite.quantizers import Quantizer

__all__ = ["QuantizerSchedule"]


class QuantizerSchedule(CallbackOfTfKeras):
    r"""Sets the `progress` of `ede_sign`, `libra` and `recu` at the begin of every epoch.

    In epoch $i$, counted from 0, of $N$ it is $i / (N - 1)$: 0 in the first and 1 in the last.
    It is a weight of each quantizer, so a model that goes on from a checkpoint with
    `fit(..., initial_epoch=i)` goes on where it was.

    Args:
        epochs: $N$, all that the model will be trained for; those of `fit` by default.

    Raises:
        ArgumentError: `epochs` is no number above 0; the model has no such quantizer.

    Example:
        >>> layer = lq.layers.QuantDense(2, kernel_quantizer="libra", input_shape=(3,))
        >>> schedule = lq.callbacks.QuantizerSchedule(epochs=11)
        >>> schedule.set_model(tf_keras.Sequential([layer]))
        >>> schedule.on_epoch_begin(4)
        >>> round(float(layer.kernel_quantizer.progress), 2)
        0.4

    References:
        IR-Net, https://arxiv.org/abs/1909.10788, section 3.3, where the last epoch has
        (N - 1) / N.
    """

    def __init__(self, epochs: int | None = None):
        super().__init__()
        if epochs is not None and (
            isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1
        ):
            raise ArgumentError(
                f"QuantizerSchedule: epochs={epochs!r} is no number of epochs.\n"
                "  Fix: all epochs that the model will be trained for, e.g. 100."
            )
        self.epochs = epochs

    def set_model(self, model: tf_keras.Model) -> None:
        """Finds the quantizers."""
        super().set_model(model)
        self._progress = [
            part.progress
            for part in model.submodules
            if isinstance(part, Quantizer)
            and isinstance(getattr(part, "progress", None), tf.Variable)
        ]
        if not self._progress:
            raise ArgumentError(
                f'QuantizerSchedule: the model "{model.name}" has no quantizer with a '
                '`progress`, or is not built.\n  Fix: quantizers such as "ede_sign", and '
                "a model that knows the shape of its inputs; or leave this callback out."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the progress of this epoch."""
        epochs = self.epochs or (self.params or {}).get("epochs") or 1
        for variable in self._progress:
            variable.assign(min(epoch / max(epochs - 1, 1), 1.0))
