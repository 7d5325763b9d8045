"""What quantizers of more than two values give, in float32 as the file says it."""

from __future__ import annotations

import numpy as np


def ternary(v: np.ndarray, threshold: float) -> np.ndarray:
    """sgn(sgn(v + threshold) + sgn(v - threshold)) in float32."""
    threshold = np.float32(threshold)
    return _signum(_signum(v + threshold) + _signum(v - threshold))


def _signum(v: np.ndarray) -> np.ndarray:
    """-1, 0 or 1; 0 for NaN."""
    return (v > 0).astype(np.float32) - (v < 0)


def steps_codes(v: np.ndarray, planes: int) -> np.ndarray:
    """The nearest of 2^planes steps from 0 to 1, as integers."""
    last = np.float32((1 << planes) - 1)
    clipped = np.fmin(np.fmax(v, np.float32(0)), np.float32(1))
    return np.rint(clipped * last).astype(np.int32)
