"""How a tensor of bits lies in memory: planes, groups, borders, and gaps between."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._plan_levels import Levels
from larqlite_runtime._plan_packed import Packed, Triple, Window
from larqlite_runtime._program import View, words_of


@dataclass(frozen=True)
class Bits:
    """The layout of one tensor of bits.

    Attributes:
        size: of the tensor, without what is put around and between.
        group: channels that begin at a word of their own; 0 if there is one group.
        spacing: from one pixel to the next.
        before, after: borders.
        fill: bits of borders and gaps; None if no reader sees any.
    """

    levels: Levels
    channels: int
    size: Triple
    group: int = 0
    spacing: Triple = (1, 1, 1)
    before: Triple = (0, 0, 0)
    after: Triple = (0, 0, 0)
    fill: tuple[int, ...] | None = None

    @property
    def plane_words(self) -> int:
        """Words of one plane of a pixel."""
        if not self.group:
            return words_of(self.channels)
        return self.channels // self.group * words_of(self.group)

    @property
    def whole(self) -> Triple:
        """Depth, height and width with all that is put around and between."""
        return tuple(
            before + (size - 1) * gap + 1 + after
            for before, size, gap, after in zip(
                self.before, self.size, self.spacing, self.after, strict=True
            )
        )

    @property
    def words(self) -> int:
        """Words of one image."""
        depth, height, width = self.whole
        return depth * height * width * self.pixel

    @property
    def pixel(self) -> int:
        """Words of one pixel."""
        return self.levels.planes * self.plane_words

    @property
    def _strides(self) -> Triple:
        _, height, width = self.whole
        return height * width * self.pixel, width * self.pixel, self.pixel

    def _view(self, buffer: int, first: Triple, every: Triple) -> View:
        strides = self._strides
        offset = sum(at * stride for at, stride in zip(first, strides, strict=True))
        return View(buffer, offset, self.words, *strides).every(*every)

    def pack_view(self, buffer: int) -> View:
        """Where the bits of each pixel go."""
        return self._view(buffer, self.before, self.spacing)

    def window_view(self, buffer: int, window: Window) -> View:
        """Where each output finds its first tap."""
        first = tuple(
            border - before
            for border, before in zip(self.before, window.before, strict=True)
        )
        return self._view(buffer, first, window.stride)

    def taps(self, window: Window) -> Triple:
        """Words from one tap to the next."""
        return tuple(
            step * stride
            for step, stride in zip(window.dilation, self._strides, strict=True)
        )

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
        return np.tile(pixel, self.words // len(pixel))

    def serves(self, other: Bits) -> Bits | None:
        """The layout from which the readers of both can read, or None."""
        same = ("levels", "channels", "size", "group", "spacing")
        if any(getattr(self, name) != getattr(other, name) for name in same):
            return None
        if None not in (self.fill, other.fill) and self.fill != other.fill:
            return None
        return replace(
            self,
            fill=other.fill if self.fill is None else self.fill,
            before=tuple(map(max, self.before, other.before)),
            after=tuple(map(max, self.after, other.after)),
        )


def bits_for(packed: Packed) -> Bits:
    """The layout that a packed node reads."""
    window = packed.window
    each = packed.in_channels // packed.groups
    grouped = packed.groups > 1 and not packed.is_depthwise and each % 32
    before = tuple(max(0, border) for border in window.before)
    has_border = (
        any(before) or any(window.after) or any(gap > 1 for gap in window.spacing)
    )
    return Bits(
        levels=packed.levels,
        channels=packed.in_channels,
        size=window.size,
        group=each if grouped else 0,
        spacing=window.spacing,
        before=before,
        after=window.after,
        fill=packed.fill if has_border else None,
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
