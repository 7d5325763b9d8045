"""What sums of a window read: the elements under its taps, and what they begin with."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._program import KernelStep
from larqlite_runtime.backends.numpy._epilogues import window


def taps_of(
    step: KernelStep, buffers: list[np.ndarray], batch: int, last: tuple[int, ...]
) -> np.ndarray:
    """`(pixels, taps, *last)` words of the input of a convolution, copied."""
    view = step.input
    inner = [1]
    for size in reversed(last[1:]):
        inner.insert(0, inner[0] * size)
    shape = (batch, *step.size, *step.kernel, *last)
    strides = (view.image, view.depth, view.row, view.pixel, *step.tap, *inner)
    found = window(buffers[view.buffer], view, shape, strides)
    return found.reshape(-1, step.taps, *last)


def starts_of(step: KernelStep, buffers: list[np.ndarray]) -> np.ndarray:
    """`(depth, height, width, channels)` values that sums begin with."""
    depth, height, width = step.size

    def classes(number: int, count: int) -> np.ndarray:
        return buffers[number][:count] if number >= 0 else np.zeros(count, np.int32)

    rows = classes(step.row_class, depth * height)
    columns = classes(step.column_class, width)
    index = rows[:, None] * step.column_classes + columns
    table = buffers[step.base].reshape(-1, step.channels)
    return table[index].reshape(depth, height, width, step.channels)
