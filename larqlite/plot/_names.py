"""Where names stand beside dots: each where it covers nothing, and near its own dot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Directions, and distances from the dot as parts of the height of a name.
_ANGLES = np.radians(
    [0, 180, 90, 270, 35, -35, 145, 215, 60, -60, 120, 240, 15, -15, 165, 195]
)
_DISTANCES = np.array([0.6, 1.2, 2.0, 3.0, 4.2, 5.5])
_SWEEPS = 6
# What a pixel costs: of the name under something else; outside; of distance; of its line
# over another name.
_COVERED, _OUTSIDE, _FAR, _CROSSED = 2.0, 6.0, 0.2, 4.0


class NamePlace(NamedTuple):
    """Where a name stands.

    Attributes:
        middle: of the name, from its dot, in pixels.
        end: of the line that leads from the dot to it; None where it stands close by.
    """

    middle: tuple[float, float]
    end: tuple[float, float] | None


def placed(
    dots: np.ndarray, sizes: np.ndarray, obstacles: np.ndarray, bounds: Sequence[float]
) -> list[NamePlace]:
    """A place for each name: they move one after another, until none finds a better one.

    Args:
        dots: `(names, 2)`, in pixels.
        sizes: widths and heights of the names, `(names, 2)`.
        obstacles: boxes `(boxes, 4)` of left, bottom, right and top, which names avoid.
        bounds: the box that they stay in.
    """
    middles = [_candidates(size) for size in sizes]
    chosen = [
        _boxes(dot, m[:1], s)[0] for dot, m, s in zip(dots, middles, sizes, strict=True)
    ]
    picked = [0] * len(dots)
    for _ in range(_SWEEPS):
        moved = False
        for number, (dot, size) in enumerate(zip(dots, sizes, strict=True)):
            boxes = _boxes(dot, middles[number], size)
            others = [box for other, box in enumerate(chosen) if other != number]
            against = np.array([*others, *obstacles]).reshape(-1, 4)
            cost = _COVERED * _overlaps(boxes, against).sum(1)
            inside = _overlaps(boxes, np.array([bounds]))[:, 0]
            cost += _OUTSIDE * (size.prod() - inside)
            cost += _FAR * size[1] * np.hypot(*_ends(middles[number], size).T)
            cost += _CROSSED * size[1] * _crossings(dot, middles[number], size, others)
            best = int(cost.argmin())
            moved |= best != picked[number]
            picked[number], chosen[number] = best, boxes[best]
        if not moved:
            break
    return [
        _place(middles[number][best], sizes[number])
        for number, best in enumerate(picked)
    ]


def _candidates(size: np.ndarray) -> np.ndarray:
    """Middles of a name from its dot, `(candidates, 2)`."""
    way = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
    away = size[1] * _DISTANCES[:, None, None] * way
    return (away + size / 2 * np.clip(1.6 * way, -1, 1)).reshape(-1, 2)


def _boxes(dot: np.ndarray, middles: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([dot + middles - size / 2, dot + middles + size / 2], 1)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pixels that each box has in common with each other one."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(-1)


def _ends(middles: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The point of each name that is nearest to its dot, from there."""
    return np.clip(0, middles - size / 2, middles + size / 2)


def _crossings(
    dot: np.ndarray, middles: np.ndarray, size: np.ndarray, others: Sequence[np.ndarray]
) -> np.ndarray:
    """How many points of the line from the dot to a name lie under other names."""
    if not others:
        return np.zeros(len(middles))
    steps = np.linspace(0, 1, 9)[None, :, None]
    points = (dot + steps * _ends(middles, size)[:, None])[:, :, None]
    boxes = np.array(others)[None, None]
    inside = (points > boxes[..., :2]) & (points < boxes[..., 2:])
    return inside.all(-1).any(-1).sum(1)


def _place(middle: np.ndarray, size: np.ndarray) -> NamePlace:
    (end,) = _ends(middle[None], size)
    is_near = np.hypot(*end) < 0.9 * size[1]
    return NamePlace(tuple(middle.tolist()), None if is_near else tuple(end.tolist()))
