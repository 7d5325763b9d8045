"""Windows and what sums begin with, as C."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import loop, place, sum_of, times

_TAPS = ("kd", "kh", "kw")


def over_taps(layer: Layer, body: Callable[[str, str], str]) -> str:
    """A body for each tap of the window, by depth, row, column.

    Args:
        layer: the step.
        body: gives statements of where the tap lies in the input, behind the first one, and
            of its number.
    """
    step = layer.step
    _, height, width = step.kernel
    numbers = (height * width, width, 1)
    made = body(place(step.kernel, step.tap, _TAPS), place(step.kernel, numbers, _TAPS))
    for name, count in zip(_TAPS[::-1], step.kernel[::-1], strict=True):
        made = loop(name, count, made)
    return made


def start_of(layer: Layer, table: int | None = None) -> tuple[str, str]:
    """What the sum of channel `c` begins with.

    Args:
        layer: the step.
        table: the buffer that says it; `base` of the step by default.

    Returns:
        Statements before the channels of a pixel, and the number.
    """
    step, memory = layer.step, layer.memory
    depth, height, width = step.size
    base = memory.constant(step.base if table is None else table)
    base = base.reshape(-1, step.channels)
    rows = np.zeros(depth * height, np.int64)
    columns = np.zeros(width, np.int64)
    if step.row_class >= 0:
        rows += memory.constant(step.row_class)[: depth * height]
    if step.column_class >= 0:
        columns += memory.constant(step.column_class)[:width]
    # Only classes that there are, numbered anew.
    row_kinds, of_row = np.unique(rows, return_inverse=True)
    column_kinds, of_column = np.unique(columns, return_inverse=True)
    grid = base[row_kinds[:, None] * step.column_classes + column_kinds]
    if (grid == grid[:1, :1]).all():
        said = "what sums begin with, a number a channel"
        return "", layer.integer_of("start", grid[0, 0], "c", said)
    if (grid == grid[..., :1]).all():
        grid = grid[..., :1]
    said = "what sums begin with, by the borders that rows and columns meet"
    name = layer.integers("start", grid, said)
    row = layer.integer_of(
        "row_class",
        of_row.reshape(-1),
        place((depth, height), (height, 1), "dy"),
        "borders that a row meets",
    )
    column = layer.integer_of(
        "column_class", of_column.reshape(-1), "x", "borders that a column meets"
    )
    _, of_class, channels = grid.shape
    at = sum_of(
        _scaled(of_class * channels, row),
        _scaled(channels, column),
    )
    if channels == 1:
        return f"const int32_t start = {name}[{at}];", "start"
    ctype = layer.type_of(name)
    return f"const {ctype} *start = {sum_of(name, at)};", "start[c]"


def _scaled(stride: int, number: str) -> str:
    return "" if number == "0" else times(stride, number)


def halved(layer: Layer, value: str) -> str:
    """A sum as the step shifts it."""
    shift = layer.step.shift
    return f"{layer.helper('halved')}({value}, {shift})" if shift else value
