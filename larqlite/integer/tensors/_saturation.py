"""Counting how many values saturate, for reports; costs nothing otherwise."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator

import tensorflow as tf


@dataclasses.dataclass
class Counts:
    """What was seen while counting.

    Attributes:
        saturated: values that did not fit, by place.
        total: values looked at, by place.
    """

    saturated: dict[str, int] = dataclasses.field(default_factory=dict)
    total: dict[str, int] = dataclasses.field(default_factory=dict)


_counts: contextvars.ContextVar[Counts | None] = contextvars.ContextVar(
    "larqlite_integer_saturation", default=None
)


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Scope in which operations on quantized tensors count what saturates.

    Only those that run eagerly do.
    """
    counts = Counts()
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


@contextlib.contextmanager
def not_counting() -> Iterator[None]:
    """Scope for what is no result of a layer: how its weights and scales are quantized."""
    token = _counts.set(None)
    try:
        yield
    finally:
        _counts.reset(token)


def is_counting() -> bool:
    """Whether somebody counts, and there are values to look at."""
    return _counts.get() is not None and tf.executing_eagerly()


def count_saturated(values: tf.Tensor, low, high, place: str) -> None:
    """Counts the values outside of `[low, high]`, which are about to be limited."""
    counts = _counts.get()
    if counts is None or not tf.executing_eagerly():
        return
    outside = tf.logical_or(values < tf.cast(low, values.dtype), values > high)
    here = int(tf.reduce_sum(tf.cast(outside, tf.int64)))
    counts.saturated[place] = counts.saturated.get(place, 0) + here
    counts.total[place] = counts.total.get(place, 0) + int(tf.size(values))
