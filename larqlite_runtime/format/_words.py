"""Bits of channels in 32-bit words: bit c % 32 of word c // 32; 0 is +1, 1 is -1."""

from __future__ import annotations

import numpy as np


def words_of(channels: int) -> int:
    """32-bit words that hold one bit of each channel.

    >>> words_of(33)
    2
    """
    return -(-channels // 32)


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
