"""Numbers of 16 bits that the kernels multiply in pairs: bfloat16, and how they lie in runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Runs(NamedTuple):
    """Input values of a window that lie side by side: how many runs, of how many values."""

    count: int
    values: int

    @property
    def pairs(self) -> int:
        """Pairs of a run; the last one is filled up."""
        return (self.values + 1) // 2


def runs_of(kernel: tuple[int, int, int], tap_pixel: int, in_channels: int) -> Runs:
    """The runs of a window: taps along a row where they lie side by side, else each tap.

    >>> runs_of((1, 7, 7), 3, 3)
    Runs(count=7, values=21)
    >>> runs_of((1, 3, 3), 128, 64)
    Runs(count=9, values=64)
    """
    depth, height, width = kernel
    if tap_pixel == in_channels:
        return Runs(depth * height, width * in_channels)
    return Runs(depth * height * width, in_channels)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Floats as bfloat16, rounded half to even, in uint16; NaN stays one.

    >>> to_bf16(np.float32([1, 1.00390625, 1.01171875])).tolist()
    [16256, 16256, 16258]
    """
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    quiet = bits >> 16 | 0x40
    return np.where(np.isnan(values), quiet, nearest).astype(np.uint16)


def from_bf16(halves: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 in uint16.

    >>> from_bf16(np.uint16([16256, 16258]))
    array([1.      , 1.015625], dtype=float32)
    """
    return (halves.astype(np.uint32) << 16).view(np.float32)
