"""Ranges of tensors by what rounding to them costs: least squares, percentiles, entropy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.primitives._histogram import GrowingHistogram
from larqlite.primitives._qparams import nudged, steps_of

__all__ = [
    "Codes",
    "best_scale",
    "codes_of",
    "entropy_range",
    "mse_range",
    "percentile_range",
    "range_of_histogram",
    "squared_errors",
]

# Candidates for one end of a range, as shares of the extreme; and where both ends move.
SHARES = np.arange(1, 101) / 100
_SHARES_OF_TWO = np.arange(1, 33) / 32
# How many more bins a candidate of `entropy_range` takes than the one before.
_STRIDE = 8


class Codes(tuple):
    r"""`(step, first, last)` of $q(x) = s\, \mathrm{clip}(\lfloor x / s + 1/2 \rfloor,
    first, last)$; arrays of one shape, or numbers."""

    def __new__(cls, step, first, last):
        return super().__new__(cls, (step, first, last))


def codes_of(low, high, bits: int, narrow_range: bool) -> Codes:
    """The codes of ranges, moved so that 0 is a level as `nudged` says.

    Args:
        low, high: arrays of one shape, or numbers; `low <= 0 <= high`.
        bits: 2 to 16.
        narrow_range: whether the lowest code is left out.

    Example:
        >>> from larqlite.primitives import codes_of
        >>> [float(part) for part in codes_of(-1.5, 1.5, 2, True)]
        [1.5, -1.0, 1.0]
    """
    ends = (tf.cast(end, tf.float32) for end in (low, high))
    _, _, step, zero = (
        np.asarray(p, np.float64) for p in nudged(*ends, bits, narrow_range)
    )
    return Codes(step, -zero, steps_of(bits, narrow_range) - zero)


def squared_errors(values, counts, codes: Codes) -> np.ndarray:
    r"""$\sum_i n_i (q(x_i) - x_i)^2$ for each of several codes.

    Args:
        values: array `(values,)`.
        counts: how often each comes, likewise.
        codes: with arrays `(candidates,)`. A step of 0 rounds everything to 0.

    Returns:
        Array `(candidates,)`, float64.
    """
    step, first, last = (np.atleast_1d(np.asarray(p, np.float64)) for p in codes)
    safe = np.where(step > 0, step, 1)
    errors = []
    for s, a, b, is_some in zip(
        *np.broadcast_arrays(safe, first, last, step > 0), strict=True
    ):
        rounded = np.clip(np.floor(values / s + 0.5), a, b) * s if is_some else 0
        errors.append(np.dot(counts, np.square(rounded - values)))
    return np.array(errors)


def best_scale(values, counts, codes_for, shares=SHARES) -> tuple[float, np.ndarray]:
    """The share of the whole range whose codes have the least squared error.

    Args:
        values, counts: as for `squared_errors`.
        codes_for: from an array of shares to their `Codes`.
        shares: candidates; 1 should be the last, so that nothing is worse than it.

    Returns:
        The share, the greatest of equal ones, and the errors of all.
    """
    errors = squared_errors(values, counts, codes_for(shares))
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))
    return float(shares[best]), errors


def mse_range(
    values,
    counts,
    low: float,
    high: float,
    bits: int,
    symmetric: bool,
    narrow_range: bool,
) -> tuple[float, float]:
    r"""The range within `[low, high]` with the least squared error of rounding.

    $$ \min_{\alpha, \beta} \sum_i n_i \, (q_{[\alpha low, \beta high]}(x_i) - x_i)^2 $$

    over shares of hundredths with $\alpha = \beta$ if `symmetric` or if an end is 0, and
    over pairs of shares of 1/32 otherwise. The whole range is among them.

    Args:
        values: array `(values,)`.
        counts: how often each comes, likewise.
        low, high: the range of the extremes, `low <= 0 <= high`.
        bits: 2 to 16.
        symmetric: whether both ends move together.
        narrow_range: whether the lowest code is left out.

    Returns:
        The ends.

    Example:
        >>> from larqlite.primitives import mse_range
        >>> values = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
        >>> counts = np.array([100, 100, 100, 100, 1])
        >>> low, high = mse_range(values, counts, 0.0, 9.0, 2, False, False)
        >>> round(high, 2)
        3.06

    References:
        Nagel et al., A White Paper on Neural Network Quantization,
        https://arxiv.org/abs/2106.08295, section 3.1.
    """
    if symmetric or not low or not high:
        share, _ = best_scale(
            values,
            counts,
            lambda shares: codes_of(shares * low, shares * high, bits, narrow_range),
        )
        return share * low, share * high
    a, b = (part.reshape(-1) for part in np.meshgrid(_SHARES_OF_TWO, _SHARES_OF_TWO))
    errors = squared_errors(
        values, counts, codes_of(a * low, b * high, bits, narrow_range)
    )
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))
    return float(a[best] * low), float(b[best] * high)


def percentile_range(values, counts, percentile: float) -> tuple[float, float]:
    """The range that leaves out so little of the values, half of it on each side.

    Of values of one sign, all that is left out is on the side of the extremes.

    Args:
        values: array `(values,)`, in order.
        counts: how often each comes, likewise.
        percentile: of values that are in the range, above 50 and up to 100.

    Returns:
        The ends, `low <= 0 <= high`.

    Example:
        >>> from larqlite.primitives import percentile_range
        >>> percentile_range(np.arange(100.0), np.ones(100, int), 95)
        (0.0, 94.0)
    """
    if not len(values):
        return 0.0, 0.0
    outside = 1 - percentile / 100
    outside /= max(int(values[0] < 0) + int(values[-1] > 0), 1)
    share = np.cumsum(counts) / np.sum(counts)
    low = (
        values[np.searchsorted(share, outside + 1e-12, "right")]
        if values[0] < 0
        else 0.0
    )
    # Sums of counts are exact; their quotient is not.
    high = values[min(np.searchsorted(share, 1 - outside - 1e-12), len(values) - 1)]
    return min(float(low), 0.0), max(float(high), 0.0)


def entropy_range(counts, width: float, levels: int) -> float:
    r"""The magnitude at which to clip, by the least divergence of what is left.

    For each candidate of $i$ bins, $P$ has those bins, with all that lies beyond in the
    last of them; $Q$ has the mean of the bins (of those that hold something) that share
    one of `levels` levels. The one with the least $\sum P \log (P / Q)$ is taken.

    Args:
        counts: of magnitudes in equal bins from 0 on.
        width: of a bin.
        levels: of codes for the magnitudes: 2^bits for values of one sign, half of it
            for values of both.

    Returns:
        The end of the last bin of the best candidate; of equal ones the widest.

    Example:
        >>> from larqlite.primitives import entropy_range
        >>> counts = np.array([*range(64, 0, -1), *[0] * 447, 1])
        >>> entropy_range(counts, 0.5, 16)
        32.0

    References:
        Migacz, 8-bit Inference with TensorRT, GTC 2017, slides 19 to 38.
    """
    counts = np.asarray(counts, np.float64)
    total = len(counts)
    candidates = [*range(total, levels, -_STRIDE)] or [total]
    best = min(candidates, key=lambda n: (_divergence(counts, n, levels), -n))
    return best * width


def _divergence(counts: np.ndarray, kept: int, levels: int) -> float:
    inside = counts[:kept]
    wanted = inside.copy()
    wanted[-1] += counts[kept:].sum()
    level = np.arange(kept) * levels // kept
    held = inside > 0
    of_level = np.bincount(level, inside, levels)
    size = np.bincount(level, held, levels)
    given = np.where(held, (of_level / np.maximum(size, 1))[level], 0)
    mass = given.sum()
    if not mass:
        return np.inf
    p, q = wanted / wanted.sum(), given / mass
    where = p > 0
    if np.any(q[where] == 0):  # what was beyond lies in a bin that is empty
        q = np.maximum(q, 1e-4 / kept)
        q /= q.sum()
    return float(np.sum(p[where] * np.log(p[where] / q[where])))


def range_of_histogram(
    histogram: GrowingHistogram,
    ends,
    method: str,
    bits: int,
    symmetric: bool,
    narrow_range: bool,
    percentile: float = 99.99,
) -> tuple[np.ndarray, np.ndarray]:
    """The range of each channel of a histogram, by a method's name.

    Args:
        histogram: of the values.
        ends: the ranges of the extremes, two arrays `(channels,)`.
        method: "mse", "percentile" or "entropy".
        bits: 2 to 16.
        symmetric: whether a range has 0 in its middle.
        narrow_range: whether the lowest code is left out.
        percentile: for that method.

    Returns:
        Lower and upper ends, float32 `(channels,)`.
    """
    found = []
    for channel, (low, high) in enumerate(zip(*ends, strict=True)):
        values, counts = histogram.of(channel)
        if method == "mse":
            found.append(
                mse_range(values, counts, low, high, bits, symmetric, narrow_range)
            )
            continue
        if method == "percentile":
            a, b = percentile_range(values, counts, percentile)
        else:
            both = symmetric or low < 0 < high
            b = entropy_range(*histogram.magnitudes(channel), 2 ** (bits - both))
            a = -b
        if symmetric:  # the ratio of the ends stays
            share = min(1.0, max(-a, b) / max(high, -low, 1e-30))
            found.append((share * low, share * high))
        else:
            found.append((max(low, a), min(high, b)))
    lows, highs = np.array(found, np.float32).T
    return lows, highs
