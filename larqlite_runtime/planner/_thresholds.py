"""Scale, offset and quantizer after a sum of bits, or a float, as one interval of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._epilogues import Epilogue

Interval = tuple[np.ndarray, np.ndarray]

LOWEST, HIGHEST = np.iinfo(np.int32).min, np.iinfo(np.int32).max
# Floats in their order as whole numbers: the bits of their magnitude, negative below zero.
_INFINITY = 0x7F800000


def can_threshold(epilogues: Sequence[Epilogue], codebook: Codebook) -> bool:
    """Whether sums that pass through `epilogues` and are packed have one interval per plane."""
    return codebook.is_thresholded and all(
        epilogue.is_monotone for epilogue in epilogues
    )


def evaluate(epilogues: Sequence[Epilogue], sums: np.ndarray) -> np.ndarray:
    """Sums `(..., channels)` passed through epilogues in float32, one rounding an operation."""
    v = sums.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for epilogue in epilogues:
            if epilogue.kind == EpilogueKind.MULTIPLY:
                v = v * epilogue.values
            elif epilogue.kind == EpilogueKind.DIVIDE:
                v = v / epilogue.values
            elif epilogue.kind == EpilogueKind.ADD:
                v = v + epilogue.values
            elif epilogue.kind == EpilogueKind.PRELU:
                v = np.where(v < 0, v * epilogue.values, v)
            elif epilogue.kind == EpilogueKind.RELU:
                v = np.maximum(v, np.float32(0))
            elif epilogue.kind == EpilogueKind.CLIP:
                v = np.minimum(
                    np.maximum(v, np.float32(epilogue.low)), np.float32(epilogue.high)
                )
    return v


def intervals(
    epilogues: Sequence[Epilogue], codebook: Codebook, low: np.ndarray, high: np.ndarray
) -> list[Interval] | None:
    """For each plane the sums of each channel for which it is +1.

    Every operation keeps or reverses the order of a channel's values, rounding
    included, so that one bisection on the float32 expression finds the exact bound.

    Args:
        epilogues: what the sums pass through, all monotone.
        codebook: how the result is packed.
        low, high: the least and the largest sum of each channel, int64.

    Returns:
        First and last sum (int32 per channel) for each plane; first > last where there
        is none. None if a value is not finite.
    """
    ends = evaluate(epilogues, np.stack([low, high]))
    if not np.isfinite(ends).all():
        return None
    found = [
        _interval(
            lambda sums, plane=plane: (
                ~codebook.planes_of(evaluate(epilogues, sums))[plane]
            ),
            *(low, high, LOWEST, HIGHEST),
        )
        for plane in range(codebook.type.bits)
    ]
    return [(first.astype(np.int32), last.astype(np.int32)) for first, last in found]


def ranges(
    epilogues: Sequence[Epilogue],
    codebook: Codebook,
    channels: int,
    is_pooled: bool = False,
) -> list[Interval] | None:
    """For each plane the floats of each channel for which it is +1, as `intervals` of sums.

    Args:
        epilogues: what the floats pass through.
        codebook: how the result is packed.
        channels: how many.
        is_pooled: whether NaN is left out, as by a largest value, whatever bit it would give.

    Returns:
        First and last float (float32 per channel) for each plane; infinity and -infinity
        where there is none. None if there are no such intervals, or if infinities or NaN,
        which is in all of them, would give other bits.
    """
    if not can_threshold(epilogues, codebook):
        return None

    def plus(floats: np.ndarray, plane: int) -> np.ndarray:
        v = np.broadcast_to(floats, (*floats.shape[:-1], channels))
        return ~codebook.planes_of(evaluate(epilogues, v))[plane]

    found = []
    for plane in range(codebook.type.bits):
        ends = plus(_floats(np.arange(_INFINITY - 1, _INFINITY + 1)[:, None]), plane)
        starts = plus(_floats(-np.arange(_INFINITY - 1, _INFINITY + 1)[:, None]), plane)
        is_kept = (ends[0] == ends[1]) & (starts[0] == starts[1])
        # A factor of 0 makes NaN of what is infinite by then: at both ends, and not between.
        middle = plus(np.zeros(1, np.float32), plane)
        is_kept &= (ends[0] != starts[0]) | (middle == ends[0])
        if not is_pooled:
            is_kept &= plus(np.float32([np.nan]), plane)
        if not is_kept.all():
            return None
        whole = np.full(channels, _INFINITY, np.int64)
        first, last = _interval(
            lambda keys, plane=plane: plus(_floats(keys), plane),
            *(-whole, whole, -_INFINITY, _INFINITY),
        )
        found.append((_floats(first), _floats(last)))
    return found


def bounds_and_sides(found: Interval) -> Interval:
    """What `LQ_PACK_ABOVE` takes, for floats whose largest value of a window is packed.

    Args:
        found: first and last float that are +1, of one plane.

    Returns:
        Per channel the float32 above which bits are those of one side, infinity where all
        are of the other; and booleans, whether what is above is +1.
    """
    first, last = found
    is_never = first > last
    rises = np.isposinf(last) & (first > -np.inf) & ~is_never
    falls = np.isneginf(first) & (last < np.inf) & ~is_never
    below = np.nextafter(first, np.float32(-np.inf))
    bound = np.where(rises, below, np.where(falls, last, np.float32(np.inf)))
    return bound.astype(np.float32), rises | is_never


def _floats(keys: np.ndarray) -> np.ndarray:
    magnitudes = np.abs(keys).astype(np.uint32).view(np.float32)
    return np.where(keys < 0, -magnitudes, magnitudes)


def _interval(
    plus: Callable[[np.ndarray], np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    lowest: int,
    highest: int,
) -> Interval:
    at_low, at_high = plus(low), plus(high)
    # The last sum, from below, at which `plus` is what it is at the lowest one.
    same, other = low.copy(), high.copy()
    while (other - same > 1).any():
        middle = (same + other) // 2
        is_same = plus(middle) == at_low
        same, other = np.where(is_same, middle, same), np.where(is_same, other, middle)
    first = np.where(at_low, lowest, np.where(at_high, other, highest))
    last = np.where(at_high, highest, np.where(at_low, same, lowest))
    return first, last
