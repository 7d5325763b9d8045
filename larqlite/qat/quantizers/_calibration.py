"""The scope in which range quantizers set their ranges from the batches they see."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["batches_seen", "calibrating", "with_earlier_calls"]

_batches_seen: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_batches_seen", default=None
)

# For each range that was set in the block: what it was before, and the batch's ends.
_calls: contextvars.ContextVar = contextvars.ContextVar("larqlite_qat_calls")


@contextlib.contextmanager
def calibrating(count) -> Iterator[None]:
    """Within the block, calls of range quantizers set ranges, whatever `training` is.

    With the range $b_k$ of batch $k$, after `count` + 1 batches:

    - `LastValueQuantizer`: $b_{count}$,
    - `MovingAverageQuantizer`: the mean of $b_0 \\dots b_{count}$,
    - `AllValuesQuantizer`: the smallest minimum and largest maximum of them.

    A range that several calls in the block set, as of a layer that is shared, holds all
    of them. The first batch replaces what was stored. A `tf.function` reads the scope while it
    is traced, so trace one of its own for calibration and hand `count` in as a tensor.

    Args:
        count: number of batches seen before this one, an int or a scalar tensor.

    Example:
        >>> from larqlite.qat.quantizers import MovingAverageQuantizer
        >>> from larqlite.qat.quantizers._calibration import calibrating
        >>> layer, quantizer = tf_keras.layers.Layer(), MovingAverageQuantizer()
        >>> weights = quantizer.build(None, "output", layer)
        >>> for count, batch in enumerate(([0.0, 1.0], [-1.0, 3.0])):
        ...     with calibrating(count):
        ...         _ = quantizer(tf.constant(batch), training=False, weights=weights)
        >>> [float(weights["min_var"]), float(weights["max_var"])]
        [-0.5, 2.0]
    """
    token, calls_token = _batches_seen.set(count), _calls.set({})
    try:
        yield
    finally:
        _batches_seen.reset(token)
        _calls.reset(calls_token)


def batches_seen():
    """The `count` of the innermost calibration scope, or None outside of any."""
    return _batches_seen.get()


def with_earlier_calls(key, stored: tuple, ends: tuple) -> tuple[tuple, tuple]:
    """What was stored before the batch, and the range of all calls in it so far.

    Args:
        key: tells one stored range from another.
        stored: its ends as they are now.
        ends: the range of this call's tensor.
    """
    calls = _calls.get()
    if key in calls:
        stored, (low, high) = calls[key]
        ends = (tf.minimum(low, ends[0]), tf.maximum(high, ends[1]))
    calls[key] = (stored, ends)
    return stored, ends
