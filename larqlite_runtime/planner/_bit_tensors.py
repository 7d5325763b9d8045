"""How a tensor of bits or codes lies in memory: planes, groups, and what borders hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime.format import code_words_of, pack, pack_bytes, words_of
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._padding import PaddedTensor, padded_for
from larqlite_runtime.planner.producers import Packed


@dataclass(frozen=True)
class Bits:
    """The layout of one tensor of bits, or of codes.

    Attributes:
        codebook: how floats become bits.
        channels: of the tensor.
        padded: where its pixels lie, in words.
        group: channels that begin at a word of their own; 0 if there is one group.
        pad_bits: of borders and gaps; None if no reader sees any. Of codes, the number of
            their level alone.
        are_codes: whether values are bytes; the words of a plane are then those of a pixel.
    """

    codebook: Codebook
    channels: int
    padded: PaddedTensor
    group: int = 0
    pad_bits: tuple[int, ...] | None = None
    are_codes: bool = False

    @property
    def plane_words(self) -> int:
        """Words of one plane of a pixel."""
        return _plane_words(self.channels, self.group, self.are_codes)

    def initial_words(self) -> np.ndarray | None:
        """The words of an image whose every pixel holds the pad bits; None if it needs none."""
        if self.pad_bits is None:
            return None
        if self.are_codes:
            levels = np.full(self.channels, self.pad_bits[0])
            pixel = pack_bytes(levels, self.group)
            return np.tile(pixel, self.padded.elements // len(pixel))
        if not any(self.pad_bits):
            return np.zeros((), np.uint32)
        group = self.group or self.channels
        plane = np.tile(pack(np.ones(group, bool)), self.channels // group)
        pixel = np.concatenate([plane * np.uint32(bit) for bit in self.pad_bits])
        return np.tile(pixel, self.padded.elements // len(pixel))

    def serves(self, other: Bits) -> Bits | None:
        """The layout from which the readers of both can read, or None."""
        if (self.codebook, self.channels, self.group, self.are_codes) != (
            other.codebook,
            other.channels,
            other.group,
            other.are_codes,
        ):
            return None
        if (
            None not in (self.pad_bits, other.pad_bits)
            and self.pad_bits != other.pad_bits
        ):
            return None
        if (self.padded.size, self.padded.spacing) != (
            other.padded.size,
            other.padded.spacing,
        ):
            return None
        padded = replace(
            self.padded,
            before=tuple(map(max, self.padded.before, other.padded.before)),
            after=tuple(map(max, self.padded.after, other.padded.after)),
        )
        return replace(
            self,
            padded=padded,
            pad_bits=other.pad_bits if self.pad_bits is None else self.pad_bits,
        )


def _plane_words(channels: int, group: int, are_codes: bool) -> int:
    words = code_words_of if are_codes else words_of
    return channels // group * words(group) if group else words(channels)


def bits_for(packed: Packed) -> Bits:
    """The layout that a packed node reads."""
    each = packed.in_channels // packed.groups
    whole = 4 if packed.takes_codes else 32
    is_grouped = packed.groups > 1 and not packed.is_depthwise and each % whole
    group = each if is_grouped else 0
    planes = 1 if packed.takes_codes else packed.codebook.type.bits
    words = _plane_words(packed.in_channels, group, packed.takes_codes)
    padded = padded_for(packed.window, planes * words)
    pad_bits = (packed.pad_level,) if packed.takes_codes else packed.pad_bits
    return Bits(
        codebook=packed.codebook,
        channels=packed.in_channels,
        padded=padded,
        group=group,
        pad_bits=pad_bits if padded.has_more else None,
        are_codes=packed.takes_codes,
    )


def share(wanted: list[Bits]) -> list[tuple[Bits, list[int]]]:
    """The fewest layouts that serve all readers, and which readers each serves."""
    found: list[tuple[Bits, list[int]]] = []
    order = sorted(
        range(len(wanted)), key=lambda number: wanted[number].pad_bits is None
    )
    for number in order:
        for at, (bits, readers) in enumerate(found):
            both = bits.serves(wanted[number])
            if both is not None:
                found[at] = both, [*readers, number]
                break
        else:
            found.append((wanted[number], [number]))
    return found
