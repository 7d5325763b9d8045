"""Bits: codes of weights in the bytes of a file, and channels in the words of kernels.

In a file, codes of k bits are a stream without gaps, low bit first; the numbers that they
stand for are a grid. Kernels read 32-bit words: bit c % 32 of word c // 32 is channel c, and 0
is +1, 1 is -1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from larqlite_runtime._graph import GraphNode

# Float32 holds every integer of a smaller magnitude, so that sums of them are exact.
EXACT = 1 << 24

# The number of the level whose byte is 0.
LEVEL_OF_ZERO = 128


class Grid(NamedTuple):
    """Integers that codes of some bits stand for: `code * step + offset`."""

    bits: int
    step: float
    offset: float


BINARY = Grid(1, -2, 1)
# The code 3 stands for nothing.
TERNARY = Grid(2, 1, -1)
# By the first letter of a packed layer's name; others (Q) state theirs.
GRIDS = {"B": BINARY, "T": TERNARY}


def grid_of(node: GraphNode) -> Grid:
    """The grid of the weights of a packed layer, or of a node `Unpack`."""
    fixed = GRIDS.get(node.op[0])
    if fixed is not None:
        return fixed
    bits, step, offset = (
        node.attributes.get(name, 0) for name in ("bits", "step", "offset")
    )
    return Grid(int(bits), float(step), float(offset))


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of some bits, row by row, as a little-endian stream of bits in bytes.

    >>> pack_codes(np.array([1, 0, 2, 3]), 2).tolist()
    [225]
    """
    column = codes.reshape(-1, 1).astype(np.uint8)
    planes = (column >> np.arange(bits, dtype=np.uint8)) & np.uint8(1)
    return np.packbits(planes.ravel(), bitorder="little")


def unpack_codes(packed: np.ndarray, count: int, bits: int) -> np.ndarray:
    """The first `count` codes of a stream, uint8: the inverse of `pack_codes`.

    >>> unpack_codes(np.array([0b100100], np.uint8), 3, 2)
    array([0, 1, 2], dtype=uint8)
    """
    stream = np.unpackbits(
        np.ascontiguousarray(packed).reshape(-1), count=count * bits, bitorder="little"
    )
    if bits == 1:
        return stream
    planes = stream.reshape(count, bits)
    return (planes << np.arange(bits, dtype=np.uint8)).sum(1, dtype=np.uint8)


def float_weights(node: GraphNode, packed: np.ndarray) -> np.ndarray:
    """The weights of a packed layer, or what a node `Unpack` makes, as float32."""
    grid = grid_of(node)
    shape = tuple(int(size) for size in node.attributes["weight_shape"])
    codes = unpack_codes(packed, math.prod(shape), grid.bits).astype(np.float32)
    return (codes * np.float32(grid.step) + np.float32(grid.offset)).reshape(shape)


def words_of(channels: int) -> int:
    """32-bit words that hold one bit of each channel.

    >>> words_of(33)
    2
    """
    return -(-channels // 32)


def code_words_of(channels: int) -> int:
    """32-bit words that hold a byte of each channel.

    >>> code_words_of(5)
    2
    """
    return -(-channels // 4)


def pack_bytes(levels: np.ndarray, group: int = 0) -> np.ndarray:
    """Numbers of levels `(..., channels)` from 0 to 255, minus 128, as bytes of words.

    Each group of channels begins with a word; what is left of its last one is 0.

    >>> pack_bytes(np.array([128, 129, 130, 128, 255])).tolist()
    [131328, 127]
    """
    *shape, channels = levels.shape
    group = group or channels
    groups, words = channels // group, code_words_of(group)
    whole = np.zeros((*shape, groups, words * 4), np.int8)
    moved = (levels.astype(np.int16) - LEVEL_OF_ZERO).astype(np.int8)
    whole[..., :group] = moved.reshape(*shape, groups, group)
    return whole.view("<u4").reshape(*shape, groups * words)


def unpack_bytes(words: np.ndarray, channels: int) -> np.ndarray:
    """The first `channels` bytes of words along the last axis, as int8."""
    flat = np.ascontiguousarray(words.astype("<u4", copy=False)).view(np.int8)
    return flat[..., :channels]


def pack(bits: np.ndarray, group: int = 0) -> np.ndarray:
    """Bits `(..., channels)` as words, each group of channels from a word of its own.

    >>> pack(np.array([1, 0, 1, 1], bool), 2)
    array([1, 3], dtype=uint32)
    """
    *shape, channels = bits.shape
    group = group or channels
    groups, words = channels // group, words_of(group)
    if group % 32:
        whole = np.zeros((*shape, groups, words * 32), bool)
        whole[..., :group] = bits.reshape(*shape, groups, group)
        bits = whole
    packed = np.packbits(np.ascontiguousarray(bits), axis=-1, bitorder="little")
    return packed.view("<u4").reshape(*shape, groups * words)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """The first `channels` bits of words along the last axis, as uint8."""
    flat = np.ascontiguousarray(words.astype("<u4", copy=False)).view(np.uint8)
    return np.unpackbits(flat, axis=-1, count=channels, bitorder="little")
