"""LowBitLog: what says whether low-bit weights still learn, as TensorBoard reads it."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

import tensorflow as tf
import tf_keras

from larqlite import models
from larqlite._two_kerases import CallbackOfTfKeras
from larqlite.errors import ArgumentError

__all__ = ["LowBitLog"]

RUN = "low_bit"

log = logging.getLogger("larqlite.callbacks")


class LowBitLog(CallbackOfTfKeras):
    r"""Writes scalars and histograms of low-bit training for TensorBoard.

    At the end of every epoch (or every few), in the run `low_bit` of the folder:

    | tag | what it is |
    |---|---|
    | `flip_ratio/<layer>` | mean share of the binary weights that flip in a step of this epoch |
    | `saturation/<kernel>` | share of latent weights at their clip, $\lvert w \rvert \geq c$ |
    | `latent/<kernel>` | histogram of latent weights |
    | `bits/<layer>` | bits of a deployed weight, mean over the layer |
    | `packed_bytes` | of all weights in a packed file |

    Layers and kernels go by the paths of `lq.models.flip_ratios` and
    `lq.models.quantized_weights`. Flip ratios are there if the model tracks them; if it
    does not, a warning says how. Keras' own `TensorBoard` may write to the same folder.

    Args:
        log_dir: the folder, made if it is missing.
        histograms: whether to write `latent/`, the only large part of the files.
        every: write at every so many epochs.

    Raises:
        ArgumentError: `log_dir` is no path, a file, or a folder that cannot be made;
            `every` is no whole number above 0.

    Example:
        >>> import tempfile
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(
        ...     3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="d",
        ...     use_bias=False)])
        >>> model.compile("sgd", "mse")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     callback = lq.callbacks.LowBitLog(folder)
        ...     _ = model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0,
        ...         callbacks=[callback])
        >>> sorted(callback.scalars())
        ['bits/d', 'packed_bytes', 'saturation/d/kernel']
    """

    def __init__(
        self, log_dir: str | os.PathLike, *, histograms: bool = True, every: int = 1
    ):
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ArgumentError(
                f"LowBitLog: every={every!r}.\n  Fix: a whole number of epochs, e.g. 1."
            )
        self.folder = _folder(log_dir)
        self.histograms = histograms
        self.every = every
        self._writer = None
        self._flips: dict[str, float] = {}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Opens a new event file; those of earlier runs stay."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = tf.summary.create_file_writer(str(self.folder))
        except (OSError, tf.errors.OpError) as error:
            raise ArgumentError(
                f"LowBitLog: {self.folder} cannot be written ({error}).\n"
                "  Fix: another log_dir."
            ) from error
        if not self.model.built:  # `fit` builds it from its first batch
            return
        if models.quantized_weights(self.model) and not models.flip_ratios(self.model):
            log.warning(
                'LowBitLog: the model "%s" tracks no flip ratios, so none are written. '
                'Fix: build it inside of `with lq.context.metrics_scope(["flip_ratio"]):`.',
                self.model.name,
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Forgets the flip ratios of the epoch before."""
        self._flips = {}

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Reads the flip ratios of the epoch, which validation resets."""
        if self._writer is not None and not self._flips:
            self._flips = _results(self.model)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the values of this epoch."""
        if (epoch + 1) % self.every:
            return
        flips = self._flips or _results(self.model)
        # The logs are safe from callbacks that evaluate the model before this one.
        tracked = models.flip_ratios(self.model)
        times = Counter(metric.name for metric in tracked.values())
        for path, metric in tracked.items():
            if times[metric.name] == 1 and metric.name in (logs or {}):
                flips[path] = float(logs[metric.name])
        scalars = {f"flip_ratio/{path}": value for path, value in flips.items()}
        with self._writer.as_default(step=epoch):
            for tag, value in (scalars | self.scalars()).items():
                tf.summary.scalar(tag, value)
            if self.histograms:
                for path, kernel in models.quantized_weights(self.model).items():
                    tf.summary.histogram(f"latent/{path}", kernel.latent)
        self._writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def scalars(self) -> dict[str, float]:
        """Saturation, bits and packed bytes of the model as it is now, by tag.

        See `of` for other loggers.
        """
        return self.of(self.model)

    @staticmethod
    def of(model: tf_keras.Model) -> dict[str, float]:
        """Saturation, bits and packed bytes of any model, by tag, for other loggers.

        Args:
            model: a built tf_keras model.
        """
        profile = models.profile(model)
        saturation = models.saturation(model)
        return {
            **{f"saturation/{path}": share for path, share in saturation.items()},
            **{
                f"bits/{layer.path}": layer.memory_bits / layer.params
                for layer in profile.layers
                if layer.params
            },
            "packed_bytes": float(profile.deployed_bytes),
        }


def _results(model) -> dict[str, float]:
    return {path: float(m.result()) for path, m in models.flip_ratios(model).items()}


def _folder(log_dir) -> Path:
    """The folder of the run, or an error before training."""
    try:
        folder = Path(os.fsdecode(log_dir))
    except TypeError as error:
        raise ArgumentError(
            f"LowBitLog: log_dir={log_dir!r} is a {type(log_dir).__name__}, no path.\n"
            '  Fix: a folder, e.g. "logs".'
        ) from error
    for place in (folder, folder / RUN):
        if place.exists() and not place.is_dir():
            raise ArgumentError(
                f"LowBitLog: {place} is a file.\n  Fix: a folder as log_dir."
            )
    return folder / RUN
