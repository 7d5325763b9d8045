"""A step of sums of bits as taps on a grid of pixels, with its weights and what sums begin with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import place, sum_of, times
from larqlite.deploy.targets.c._weights import plane_words
from larqlite_runtime.format import words_of

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class BitGrid:
    """Pixels of an input, and the windows of a `CONV` over them; depth, height, width.

    Output y reads with tap k the pixel y * stride - pad + k * dilation, if there is one: what
    lies outside counts for nothing.

    Attributes:
        size: of the output.
        in_size, kernel, stride, dilation, pad: of the window.
        pitch: words of the input from one pixel to the next.
        first: words from where the view of the step begins to pixel 0.
        groups: of channels.
        outputs: channels of a group that come out.
        channels: bits of a group that a tap counts, one copy behind the other.
        copies: of the channels of a group, which begin at words of their own.
        variables: of C, that count the positions of the output.
    """

    size: Triple
    in_size: Triple
    kernel: Triple
    stride: Triple
    dilation: Triple
    pad: Triple
    pitch: Triple
    first: int
    groups: int
    outputs: int
    channels: int
    copies: int
    variables: tuple[str, str, str] = ("d", "y", "x")

    @property
    def taps(self) -> int:
        """Positions of the window."""
        return math.prod(self.kernel)

    @property
    def output_words(self) -> int:
        """Words of the outputs of a group."""
        return words_of(self.outputs)

    def positions(self, axis: int) -> np.ndarray:
        """`(size, kernel)`: where a tap of an output lies."""
        at = np.arange(self.size[axis])[:, None] * self.stride[axis] - self.pad[axis]
        return at + np.arange(self.kernel[axis]) * self.dilation[axis]

    def inside(self, axis: int) -> np.ndarray:
        """`(size, kernel)`: whether a tap of an output meets a pixel."""
        at = self.positions(axis)
        return (at >= 0) & (at < self.in_size[axis])

    def by_pixel(self) -> BitGrid:
        """The same with rows of one pixel: heights are depths, and widths heights."""

        def moved(values: tuple) -> tuple:
            return (*values[1:], 1)

        return replace(
            self,
            **{
                name: moved(getattr(self, name))
                for name in ("size", "in_size", "kernel", "stride", "dilation")
            },
            pad=(*self.pad[1:], 0),
            pitch=(*self.pitch[1:], 1),
            variables=(*self.variables[1:], ""),
        )

    @property
    def has_depth(self) -> bool:
        """Whether there is more than one image of pixels."""
        return (self.size[0], self.kernel[0]) != (1, 1)


def grid_of(layer: Layer) -> BitGrid:
    """The grid of a `CONV`."""
    step = layer.step
    of_group = step.in_channels // step.groups or 32 * step.words
    copies = step.words // words_of(of_group)
    if copies * words_of(of_group) != step.words:
        of_group, copies = 32 * step.words, 1
    # Taps at the same place are planes of the weights.
    kernel = tuple(
        1 if tap == 0 else count
        for count, tap in zip(step.kernel, step.tap, strict=True)
    )
    views = step.input.depth, step.input.row, step.input.pixel
    made = {"in_size": [], "stride": [], "dilation": [], "pad": [], "pitch": []}
    for axis in range(3):
        known = _known(layer, axis, views[axis], kernel[axis])
        found = known or _reached(
            step.size[axis], views[axis], kernel[axis], step.tap[axis]
        )
        for name, value in zip(made, found, strict=True):
            made[name].append(value)
    made = {name: tuple(values) for name, values in made.items()}
    first = sum(p * q for p, q in zip(made["pad"], made["pitch"], strict=True))
    return BitGrid(
        size=step.size,
        kernel=kernel,
        first=first,
        groups=step.groups,
        outputs=step.channels // step.groups,
        channels=copies * of_group,
        copies=copies,
        **made,
    )


def plain_grid(layer: Layer) -> BitGrid:
    """Outputs in words of one group, of a step whose taps are not asked for."""
    ones = 1, 1, 1
    return BitGrid(
        size=layer.step.size,
        in_size=ones,
        kernel=ones,
        stride=(0, 0, 0),
        dilation=ones,
        pad=(0, 0, 0),
        pitch=ones,
        first=0,
        groups=1,
        outputs=layer.step.channels,
        channels=1,
        copies=1,
    )


def _known(layer: Layer, axis: int, view: int, kernel: int) -> tuple | None:
    """Sizes without borders, where the step says them."""
    step = layer.step
    if step.inside_base < 0 or kernel == 1:
        return None
    stride, dilation = step.stride[axis], step.dilation[axis]
    pitch = step.tap[axis] // dilation
    if step.size[axis] > 1 and view != stride * pitch:
        return None
    return step.in_size[axis], stride, dilation, step.pad[axis], pitch


def _reached(size: int, view: int, kernel: int, tap: int) -> tuple:
    """Sizes of all that windows reach, borders included."""
    steps = ([view] if size > 1 else []) + ([tap] if kernel > 1 else [])
    pitch = math.gcd(*steps) if steps else 1
    stride = view // pitch if size > 1 else 1
    dilation = tap // pitch if kernel > 1 else 1
    return (size - 1) * stride + (kernel - 1) * dilation + 1, stride, dilation, 0, pitch


@dataclass(frozen=True)
class BitWeights:
    """Weights of a grid.

    Attributes:
        bits: bool (plane, group, output, depth, height, width, channel).
        places: of each plane, the power of two that it counts for.
    """

    bits: np.ndarray
    places: tuple[int, ...]


def weights_of(layer: Layer, grid: BitGrid) -> BitWeights:
    """The weights of a `CONV`; planes that lie side by side as taps are planes again."""
    step = layer.step
    words = plane_words(step, layer.memory.constant(step.weights))
    words = np.ascontiguousarray(words).astype("<u4")
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    whole = bits.reshape(
        grid.groups, grid.outputs, step.weight_planes, *step.kernel, grid.copies, -1
    )
    whole = whole[..., : grid.channels // grid.copies].astype(bool)
    whole = np.moveaxis(whole, 2, 0)  # (plane, group, output, d, h, w, copy, channel)
    for axis, (count, kept) in enumerate(zip(step.kernel, grid.kernel, strict=True)):
        if count == kept:
            continue
        whole = np.expand_dims(np.moveaxis(whole, 3 + axis, 0), 4 + axis)
        whole = whole.reshape(-1, *whole.shape[2:])
    return BitWeights(whole.reshape(*whole.shape[:6], -1), weight_places(layer, grid))


def weight_places(layer: Layer, grid: BitGrid) -> tuple[int, ...]:
    """Of each plane of the weights, the power of two that it counts for."""
    alike = layer.step.taps // grid.taps
    return tuple(range(layer.step.weight_planes)) * alike


@dataclass(frozen=True)
class Classes:
    """Positions of an output whose sums begin alike.

    Attributes:
        starts: int64 (row classes, column classes, channels): what sums of the taps inside
            begin with.
        inside: float64 (row classes, column classes, depth, height, width): 1 for taps that
            meet pixels.
        index: the number of the class of a position as C, "0" if there is one.
    """

    starts: np.ndarray
    inside: np.ndarray
    index: str

    @property
    def count(self) -> int:
        """Classes."""
        return self.starts.shape[0] * self.starts.shape[1]


def classes_of(layer: Layer, grid: BitGrid) -> Classes:
    """The classes of a `CONV`."""
    step, memory = layer.step, layer.memory
    depth, height, width = step.size
    is_inside = any(not grid.inside(axis).all() for axis in range(3))
    base = memory.constant(step.inside_base if is_inside else step.base)
    base = base.reshape(-1, step.channels).astype(np.int64)
    rows, columns = np.zeros(depth * height, np.int64), np.zeros(width, np.int64)
    if step.row_class >= 0:
        rows += memory.constant(step.row_class)[: depth * height]
    if step.column_class >= 0:
        columns += memory.constant(step.column_class)[:width]
    of_depth, of_row, of_column = (grid.inside(axis) for axis in range(3))
    keys = np.concatenate(
        [
            rows[:, None],
            np.repeat(of_depth, height, 0),
            np.tile(of_row, (depth, 1)),
        ],
        1,
    )
    _, first_row, row_class = np.unique(
        keys, axis=0, return_index=True, return_inverse=True
    )
    keys = np.concatenate([columns[:, None], of_column], 1)
    _, first_column, column_class = np.unique(
        keys, axis=0, return_index=True, return_inverse=True
    )
    starts = base[
        rows[first_row][:, None] * step.column_classes + columns[first_column]
    ]
    inside = np.einsum(
        "rd,rh,cw->rcdhw",
        of_depth[first_row // height].astype(float),
        of_row[first_row % height].astype(float),
        of_column[first_column].astype(float),
    )
    row = layer.integer_of(
        "row_class",
        row_class.reshape(-1),
        place((depth, height), (height, 1), "dy"),
        "borders that a row meets",
    )
    column = layer.integer_of(
        "column_class", column_class.reshape(-1), "x", "borders that a column meets"
    )
    index = sum_of(
        "" if row == "0" else times(len(first_column), row),
        "" if column == "0" else column,
    )
    return Classes(starts, inside, index)
