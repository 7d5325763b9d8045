"""Histograms that grow with the values they see, whatever the order and the batches."""

from __future__ import annotations

import numpy as np

__all__ = ["GrowingHistogram"]

# On each side of 0; a power of two.
BINS = 2048
_LEAST_EXPONENT = -1000


class GrowingHistogram:
    r"""Counts of values in bins $[k 2^e, (k + 1) 2^e)$, for each channel or for all.

    The exponent $e$ is the least one with which the largest magnitude seen so far falls
    into one of 2,048 bins on each side of 0. When it grows, pairs of bins become one,
    so what is counted does not depend on how values are split into batches.

    Args:
        channels: how many entries of the last axis have a histogram of their own; None
            for one histogram of all values.

    Attributes:
        low, high: the extremes seen so far, and 0; arrays `(channels,)`, or `(1,)`.

    Example:
        >>> from larqlite.primitives import GrowingHistogram
        >>> histogram = GrowingHistogram()
        >>> histogram.add(np.array([0.1, 0.2, 3.0, -0.5])); histogram.add(np.array([900.0]))
        >>> values, counts = histogram.of(0)
        >>> values.tolist(), counts.tolist()
        ([-0.25, 0.25, 3.25, 900.0], [1, 2, 1, 1])
    """

    def __init__(self, channels: int | None = None):
        self.channels = channels
        count = 1 if channels is None else channels
        self._counts = np.zeros((count, 2 * BINS), np.int64)
        self._exponents = np.full(count, _LEAST_EXPONENT)
        self.low, self.high = np.zeros(count), np.zeros(count)

    def add(self, values) -> None:
        """Counts more values.

        Args:
            values: array of any shape; with channels, they are its last axis.
        """
        rows = np.asarray(values, np.float64).reshape(-1, len(self._exponents))
        if not rows.size:
            return
        self.low = np.minimum(self.low, rows.min(0))
        self.high = np.maximum(self.high, rows.max(0))
        self._grow(np.maximum(-self.low, self.high))
        bins = np.floor(np.ldexp(rows, -self._exponents)).astype(np.int64)
        # -2^k is the first of its bins, and so of the next exponent's.
        bins = np.maximum(bins, -BINS) + BINS
        bins += 2 * BINS * np.arange(len(self._exponents))
        self._counts += np.bincount(
            bins.reshape(-1), minlength=self._counts.size
        ).reshape(self._counts.shape)

    def _grow(self, largest: np.ndarray) -> None:
        needed = np.frexp(largest)[1] - (BINS.bit_length() - 1)
        needed = np.where(largest > 0, needed, _LEAST_EXPONENT)
        for channel in np.flatnonzero(needed > self._exponents):
            times = needed[channel] - self._exponents[channel]
            self._exponents[channel] = needed[channel]
            counts = self._counts[channel]
            for _ in range(min(times, BINS.bit_length())):
                pairs = counts.reshape(BINS, 2).sum(1)
                counts = np.pad(pairs, BINS // 2)
            self._counts[channel] = counts

    def of(self, channel: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The middles of the bins that hold something, within the extremes, and the counts."""
        counts = self._counts[channel]
        held = np.flatnonzero(counts)
        middles = np.ldexp(held - BINS + 0.5, self._exponents[channel])
        middles = np.clip(middles, self.low[channel], self.high[channel])
        return middles, counts[held]

    def magnitudes(self, channel: int = 0) -> tuple[np.ndarray, float]:
        """Counts of $|x|$ in equal bins from 0 to the largest magnitude, and their width."""
        counts = self._counts[channel]
        folded = counts[BINS:] + counts[BINS - 1 :: -1]
        last = np.flatnonzero(folded)
        folded = folded[: last[-1] + 1] if len(last) else folded[:1]
        return folded, float(np.ldexp(1.0, self._exponents[channel]))
