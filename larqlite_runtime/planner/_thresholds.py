"""Scale, offset and quantizer after a sum of bits as one interval of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from larqlite_runtime._program import Row
from larqlite_runtime.backends.numpy._epilogues import ternary
from larqlite_runtime.planner._codebooks import Levels
from larqlite_runtime.planner._epilogues import RowNode

Interval = tuple[np.ndarray, np.ndarray]

LOWEST, HIGHEST = np.iinfo(np.int32).min, np.iinfo(np.int32).max

# For each packing: whether each of its planes is +1, which holds above some value.
_PLUS: dict[Row, Callable[[Levels], list[Callable[[np.ndarray], np.ndarray]]]] = {
    Row.PACK_SIGN: lambda levels: [lambda v: ~(v < 0)],
    Row.PACK_HEAVISIDE: lambda levels: [lambda v: v > 0],
    Row.PACK_TERNARY: lambda levels: [
        lambda v: ternary(v, levels.threshold) >= 0,
        lambda v: ternary(v, levels.threshold) > 0,
    ],
}


def can_threshold(rows: Sequence[RowNode], levels: Levels) -> bool:
    """Whether sums that pass through `rows` and are packed have one interval per plane."""
    return levels.pack in _PLUS and all(row.is_monotone for row in rows)


def evaluate(rows: Sequence[RowNode], sums: np.ndarray) -> np.ndarray:
    """Sums `(..., channels)` passed through rows in float32, one rounding an operation."""
    v = sums.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            if row.kind == Row.MULTIPLY:
                v = v * row.values
            elif row.kind == Row.ADD:
                v = v + row.values
            elif row.kind == Row.PRELU:
                v = np.where(v < 0, v * row.values, v)
            elif row.kind == Row.RELU:
                v = np.maximum(v, np.float32(0))
            elif row.kind == Row.CLIP:
                v = np.minimum(np.maximum(v, np.float32(row.low)), np.float32(row.high))
    return v


def intervals(
    rows: Sequence[RowNode], levels: Levels, low: np.ndarray, high: np.ndarray
) -> list[Interval] | None:
    """For each plane the sums of each channel for which it is +1.

    Every operation keeps or reverses the order of a channel's values, rounding
    included, so that one bisection on the float32 expression finds the exact bound.

    Args:
        rows: what the sums pass through, all monotone.
        levels: how the result is packed.
        low, high: the least and the largest sum of each channel, int64.

    Returns:
        First and last sum (int32 per channel) for each plane; first > last where there
        is none. None if a value is not finite.
    """
    ends = evaluate(rows, np.stack([low, high]))
    if not np.isfinite(ends).all():
        return None
    return [
        _interval(lambda sums, plus=plus: plus(evaluate(rows, sums)), low, high)
        for plus in _PLUS[levels.pack](levels)
    ]


def _interval(
    plus: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray
) -> Interval:
    at_low, at_high = plus(low), plus(high)
    # The last sum, from below, at which `plus` is what it is at the lowest one.
    same, other = low.copy(), high.copy()
    while (other - same > 1).any():
        middle = (same + other) // 2
        is_same = plus(middle) == at_low
        same, other = np.where(is_same, middle, same), np.where(is_same, other, middle)
    first = np.where(at_low, LOWEST, np.where(at_high, other, HIGHEST))
    last = np.where(at_high, HIGHEST, np.where(at_low, same, LOWEST))
    return first.astype(np.int32), last.astype(np.int32)
