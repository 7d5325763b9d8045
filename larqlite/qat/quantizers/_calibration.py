"""The scope in which range quantizers set their ranges from the data they see."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from larqlite.primitives import GrowingHistogram

__all__ = ["Calibration", "calibrating", "calibration", "of_weights", "unrounded"]

METHODS = ("auto", "minmax", "moving_average", "mse", "percentile", "entropy")
# Those that look at how values are distributed.
OF_HISTOGRAMS = ("mse", "percentile", "entropy")


@dataclasses.dataclass(frozen=True)
class Observed:
    """What was seen of a tensor that has a range.

    Attributes:
        quantizer: its quantizer.
        weights: the variables of that.
        histogram: of the values.
    """

    quantizer: Any
    weights: dict
    histogram: GrowingHistogram


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One batch of a calibration.

    Attributes:
        seen: number of samples before this batch, an int or a scalar tensor.
        samples: number of samples in it, likewise.
        method: how ranges follow.
        observed: for methods of histograms, by the `id` of the first variable of each
            range; filled while values are seen.
        of_weights: ranges of weights that are known already, likewise.
        calls: for each range that was set in the batch: what was stored before it, and
            the ranges of the samples.
    """

    seen: Any
    samples: Any
    method: str
    observed: dict = dataclasses.field(default_factory=dict)
    of_weights: dict = dataclasses.field(default_factory=dict)
    calls: dict = dataclasses.field(default_factory=dict)

    def updated(self, stored: tuple, ends: tuple, method: str) -> list:
        """A range after this batch.

        Args:
            stored: its ends before.
            ends: `(samples, ...)`, those of each sample.
            method: "minmax" or "moving_average".
        """
        is_first = tf.equal(self.seen, 0)
        if method == "minmax":
            low, high = (tf.reduce_min(ends[0], 0), tf.reduce_max(ends[1], 0))
            both = (tf.minimum(stored[0], low), tf.maximum(stored[1], high))
            return [
                tf.where(is_first, own, joined)
                for own, joined in zip((low, high), both, strict=True)
            ]
        seen, samples = (tf.cast(n, tf.float32) for n in (self.seen, self.samples))
        means = [tf.reduce_mean(end, 0) for end in ends]
        share = samples / (seen + samples)
        return [
            tf.where(is_first, mean, before + (mean - before) * share)
            for before, mean in zip(stored, means, strict=True)
        ]

    def count(self, quantizer, inputs, weights) -> None:
        """Takes values into the histogram of their range."""
        key = id(weights["min_var"])
        if key not in self.observed:
            shape = weights["min_var"].shape
            histogram = GrowingHistogram(shape[0] if shape.rank else None)
            self.observed[key] = Observed(quantizer, weights, histogram)
        add = self.observed[key].histogram.add
        tf.numpy_function(add, [tf.cast(inputs, tf.float32)], [])

    def with_earlier_calls(
        self, key, stored: tuple, ends: tuple
    ) -> tuple[tuple, tuple]:
        """What was stored before the batch, and what all calls in it so far have seen.

        Args:
            key: tells one stored range from another.
            stored: its ends as they are now.
            ends: the ranges of the samples of this call's tensor.
        """
        if key in self.calls:
            stored, (low, high) = self.calls[key]
            if low.shape != ends[0].shape:  # other samples: steps in time, say
                low, high = tf.reduce_min(low, 0), tf.reduce_max(high, 0)
            ends = (tf.minimum(low, ends[0]), tf.maximum(high, ends[1]))
        self.calls[key] = (stored, ends)
        return stored, ends


_now: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_calibration", default=None
)
_of_weights: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_of_weights", default=False
)


@contextlib.contextmanager
def calibrating(
    seen,
    samples=1,
    method: str = "minmax",
    observed: dict | None = None,
    of_weights: dict | None = None,
) -> Iterator[None]:
    r"""Within the block, calls of range quantizers set ranges, whatever `training` is.

    With the range $R(x_k)$ of sample $k$ of $n$:

    $$ [\min_k \min R(x_k), \max_k \max R(x_k)] \qquad \text{"minmax"} $$
    $$ \frac{1}{n} \sum_k R(x_k) \qquad \text{"moving\_average"} $$

    The second is for `MovingAverageQuantizer`s only: inputs and tensors of other
    quantizers keep their extremes. With one bit, where a range is the mean magnitude, it
    is the mean of the samples. Tensors pass as they are, and only weights, whose ranges
    are their own, are rounded: so what is seen does not depend on how the data are split
    into batches.

    A range that several calls in the block set, as of a layer that is shared, holds all
    of them. The first batch replaces what was stored. A `tf.function` reads the scope
    while it is traced, so trace one of its own for calibration and hand the numbers in as
    tensors.

    Args:
        seen: number of samples before this batch, an int or a scalar tensor.
        samples: number of samples in it, likewise.
        method: "minmax" or "moving_average".

    Example:
        >>> from larqlite.qat.quantizers import MovingAverageQuantizer
        >>> from larqlite.qat.quantizers._calibration import calibrating
        >>> layer, quantizer = tf_keras.layers.Layer(), MovingAverageQuantizer()
        >>> weights = quantizer.build(None, "output", layer)
        >>> for seen, batch in ((0, [[0.0, 1.0]]), (1, [[-1.0, 3.0], [1.0, 2.0]])):
        ...     with calibrating(seen, len(batch), "moving_average"):
        ...         _ = quantizer(tf.constant(batch), training=False, weights=weights)
        >>> [round(float(weights[end]), 4) for end in ("min_var", "max_var")]
        [-0.3333, 2.0]
    """
    observed = {} if observed is None else observed
    token = _now.set(Calibration(seen, samples, method, observed, of_weights or {}))
    try:
        yield
    finally:
        _now.reset(token)


_unrounded: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_unrounded", default=False
)


@contextlib.contextmanager
def unrounded() -> Iterator[None]:
    """Within the block, quantizers with ranges pass tensors and weights as they are."""
    token = _unrounded.set(True)
    try:
        yield
    finally:
        _unrounded.reset(token)


def is_unrounded() -> bool:
    """Whether ranges round nothing at present."""
    return _unrounded.get()


def calibration() -> Calibration | None:
    """The batch of the innermost calibration scope, or None outside of any."""
    return _now.get()


@contextlib.contextmanager
def of_weights() -> Iterator[None]:
    """Within the block, what quantizers are called with are weights."""
    token = _of_weights.set(True)
    try:
        yield
    finally:
        _of_weights.reset(token)


def is_weight() -> bool:
    """Whether what a quantizer is called with is a weight, not a batch of samples."""
    return _of_weights.get()
