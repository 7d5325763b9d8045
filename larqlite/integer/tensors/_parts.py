"""Products with constant weights that are too large for float32 as a whole, in two parts.

Where channels differ in fractional bits, the aligned weights of some are much larger than
those of others. Both kinds apart are small enough, the larger ones after a common power of
two is taken out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from larqlite.integer.tensors import _storage
from larqlite.primitives import FLOAT32_LIMIT

MOST_BITS = 24


def in_parts(left, weights: np.ndarray, summed, shift, channels: int | None):
    """The product as `2^t * (x * higher) + x * lower`, both exact in float32.

    Args:
        left: FixedPoint.
        weights: aligned weights, constants.
        summed: the axes that are added up.
        shift: int32 constant, by which each channel is aligned; None for one scale.
        channels: the axis of the weights that are the channels; None if there is none.

    Returns:
        A function from a product of two float tensors to the saturated result and its
        bound; None where no two parts are small enough.
    """
    shifts = np.zeros(1, int) if shift is None else np.ravel(shift.numpy())
    if (left.limit << int(shifts.max())) >= 2**left.value_bits:
        return None
    bound = _Bound(left.limit, tuple(summed))
    total = bound.of(weights)
    found = None
    if channels is not None and shifts.size > 1:
        found = _by_channels(weights, shifts, channels, bound)
    found = found or _by_bits(weights, bound)
    return None if found is None else _combined(left, total, *found)


class _Bound:
    """The largest sums that weights allow."""

    def __init__(self, limit: int, axes: tuple[int, ...]):
        self._limit, self._axes = limit, axes

    def of(self, weights: np.ndarray) -> int:
        sums = np.abs(weights.astype(np.float64)).sum(self._axes)
        return int(sums.max(initial=0)) * self._limit

    def fits(self, *parts: np.ndarray) -> bool:
        return all(self.of(part) <= FLOAT32_LIMIT for part in parts)


def _by_channels(weights, shifts, channels: int, bound: _Bound):
    """All channels but a few, which are a small product of their own."""
    for bits in np.unique(shifts)[1:]:
        few = np.flatnonzero(shifts < bits)
        high = weights / 2.0**bits
        np.moveaxis(high, channels, 0)[few] = 0
        low = np.take(weights, few, channels)
        if bound.fits(high, low):
            return int(bits), high, low, few
    return None


def _by_bits(weights, bound: _Bound):
    """The higher and the lower bits of all weights."""
    for bits in range(1, MOST_BITS):
        high = np.round(weights / 2.0**bits)
        low = weights - high * 2.0**bits
        if bound.fits(high, low):
            return bits, high, low, None
    return None


def _combined(left, total: int, bits: int, high, low, few) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def add(higher, lower):
        return tf.cast(higher, tf.float64) * 2.0**bits + tf.cast(lower, tf.float64)

    def exact(product):
        values = tf.cast(left.values, tf.float32)
        chosen = values if few is None else tf.gather(values, few, axis=-1)
        higher = product(values, tf.constant(high, tf.float32))
        lower = product(chosen, tf.constant(low, tf.float32))
        return _storage.saturated(add(higher, lower), left.value_bits, total)

    return exact
