"""How a tensor of bits lies in memory: planes, groups, and what fills its borders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._program import words_of
from larqlite_runtime.planner._codebooks import Levels
from larqlite_runtime.planner._padding import Grid, grid_for
from larqlite_runtime.planner.producers._packed import Packed


@dataclass(frozen=True)
class Bits:
    """The layout of one tensor of bits.

    Attributes:
        levels: how floats become bits.
        channels: of the tensor.
        grid: of its pixels, in words.
        group: channels that begin at a word of their own; 0 if there is one group.
        fill: bits of borders and gaps; None if no reader sees any.
    """

    levels: Levels
    channels: int
    grid: Grid
    group: int = 0
    fill: tuple[int, ...] | None = None

    @property
    def plane_words(self) -> int:
        """Words of one plane of a pixel."""
        return _plane_words(self.channels, self.group)

    def template(self) -> np.ndarray | None:
        """The words of an image whose every pixel holds the fill; None if it needs none."""
        if self.fill is None:
            return None
        if not any(self.fill):
            return np.zeros((), np.uint32)
        group = self.group or self.channels
        ones = np.zeros(words_of(group) * 32, np.uint8)
        ones[:group] = 1
        words = np.packbits(ones, bitorder="little").view("<u4")
        plane = np.tile(words, self.channels // group)
        pixel = np.concatenate([plane * np.uint32(bit) for bit in self.fill])
        return np.tile(pixel, self.grid.elements // len(pixel))

    def serves(self, other: Bits) -> Bits | None:
        """The layout from which the readers of both can read, or None."""
        if (self.levels, self.channels, self.group) != (
            other.levels,
            other.channels,
            other.group,
        ):
            return None
        if None not in (self.fill, other.fill) and self.fill != other.fill:
            return None
        if (self.grid.size, self.grid.spacing) != (other.grid.size, other.grid.spacing):
            return None
        grid = replace(
            self.grid,
            before=tuple(map(max, self.grid.before, other.grid.before)),
            after=tuple(map(max, self.grid.after, other.grid.after)),
        )
        return replace(
            self, grid=grid, fill=other.fill if self.fill is None else self.fill
        )


def _plane_words(channels: int, group: int) -> int:
    return channels // group * words_of(group) if group else words_of(channels)


def bits_for(packed: Packed) -> Bits:
    """The layout that a packed node reads."""
    each = packed.in_channels // packed.groups
    is_grouped = packed.groups > 1 and not packed.is_depthwise and each % 32
    group = each if is_grouped else 0
    pixel = packed.levels.planes * _plane_words(packed.in_channels, group)
    grid = grid_for(packed.window, pixel)
    return Bits(
        levels=packed.levels,
        channels=packed.in_channels,
        grid=grid,
        group=group,
        fill=packed.fill if grid.has_more else None,
    )


def share(wanted: list[Bits]) -> list[tuple[Bits, list[int]]]:
    """The fewest layouts that serve all readers, and which readers each serves."""
    found: list[tuple[Bits, list[int]]] = []
    order = sorted(range(len(wanted)), key=lambda number: wanted[number].fill is None)
    for number in order:
        for at, (bits, readers) in enumerate(found):
            both = bits.serves(wanted[number])
            if both is not None:
                found[at] = both, [*readers, number]
                break
        else:
            found.append((wanted[number], [number]))
    return found
