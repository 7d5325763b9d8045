"""Scales and offsets of few bits that quantize every sum of integers as Keras does.

Fixed-point arithmetic rounds scales and offsets, and a sum that lies near a threshold may
then be quantized otherwise. Sums are integers in a known range, so it is known at which of
them each level begins. A scale a and an offset b that are whole multiples of 2^-f, with

    a s + b    on the right side of each threshold for all sums s,

compute on f bits behind the point what Keras computes in floats.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_FRACTION_BITS = 20
# A quantizer of two levels that are 2 apart: odd numbers are clipped to -1 and +1.
ODD = 2


class ScaleAndOffset(NamedTuple):
    """`scale * s + offset`, one number of each for a channel, in multiples of 2^-f.

    Attributes:
        scale, offset: float64, `(channels,)`.
        fraction_bits: f.
    """

    scale: np.ndarray
    offset: np.ndarray
    fraction_bits: int


def on_grid(
    first: np.ndarray,
    largest: np.ndarray,
    direction: np.ndarray,
    slope: np.ndarray,
    lowest: int,
    step: int = 1,
) -> ScaleAndOffset | None:
    """The affine function of fewest bits behind the point.

    Args:
        first: `(levels - 1, channels)`, for each level but the lowest the first sum that
            reaches it, counted in `direction`; one more than the largest if none does.
        largest: `(channels,)`, the largest magnitude of a sum.
        direction: `(channels,)`, 1 or -1.
        slope: `(channels,)`, of Keras' affine function, in levels a sum, not negative.
        lowest: the lowest level, an integer.
        step: from one level to the next, 1; 2 for -1 and +1.

    Returns:
        The function, after which rounding to the nearest and clipping gives the levels; None
        if 20 bits are too few.

    Example:
        >>> import numpy as np
        >>> first, largest = np.array([[3]]), np.array([9])
        >>> on_grid(first, largest, np.array([1]), np.array([0.1]), lowest=-1, step=2)
        ScaleAndOffset(scale=array([2.]), offset=array([-5.]), fraction_bits=0)
    """
    count = len(first)
    middles = lowest + step * np.arange(1, count + 1)[:, None] - step / 2
    # Halves are rounded to even, so nothing may lie on one.
    reach = middles + (step / 2 - 0.5), middles - (step / 2 - 0.5)
    if count == 1:
        slope = np.full(slope.shape, float(ODD))
    is_first, is_last = first <= -largest, first > largest
    for bits in range(MOST_FRACTION_BITS + 1):
        unit = 2.0**-bits
        found = _of_unit(first, largest, slope, reach, (is_first, is_last), unit)
        if found is not None:
            scale, offset = found
            return ScaleAndOffset(scale * direction, offset, bits)
    return None


def _of_unit(first, largest, slope, reach, ends, unit):
    """Scales and offsets that are multiples of a unit; None if there are not for all."""
    is_first, is_last = ends
    above, below = reach
    chosen = np.zeros(slope.shape), np.zeros(slope.shape)
    is_open = np.ones(slope.shape, bool)
    for change in (0, 1, -1, 2):
        scale = np.maximum((np.floor(slope / unit) + change) * unit, 0)
        # Strictly below `low` is wrong, and strictly above `high` too.
        low = np.where(is_last, -np.inf, above - scale * first).max(axis=0)
        high = np.where(is_first, np.inf, below - scale * (first - 1)).min(axis=0)
        low = np.maximum(low, np.where(np.isfinite(low), low, high - 2))
        high = np.where(np.isfinite(high), high, low + 2)
        middle = np.rint((low + high) / 2 / unit) * unit
        offset = np.where((low < middle) & (middle < high), middle, np.nan)
        fits = is_open & np.isfinite(offset)
        for kept, new in zip(chosen, (scale, offset), strict=True):
            kept[fits] = new[fits]
        is_open &= ~fits
        if not is_open.any():
            return chosen
    return None


def fixed(values: np.ndarray, fraction_bits: int) -> str:
    """The narrowest signed fixed-point type that holds multiples of 2^-f.

    >>> fixed(np.array([-2.0, 1.5]), 1), fixed(np.array([2.0]), 0)
    ('fixed<3,2>', 'fixed<3,3>')
    """
    low, high = float(np.min(values)), float(np.max(values))
    whole = 1
    while not -(2.0 ** (whole - 1)) <= low <= high < 2.0 ** (whole - 1):
        whole += 1
    return f"fixed<{whole + fraction_bits},{whole}>"
