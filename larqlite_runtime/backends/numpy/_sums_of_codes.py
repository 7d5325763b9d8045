"""Sums of products of codes (bytes) and whole numbers in NumPy: exact, in float64."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._program import (
    CODE_BLOCKS,
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
    KernelStep,
    StepKind,
)
from larqlite_runtime.backends.numpy._epilogues import starts_of, taps_of
from larqlite_runtime.format import code_words_of, unpack_bytes


def conv_codes(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    """weight_step * P + weight_offset * S + base, as `program.h` has it."""
    groups, each = step.groups, step.channels // step.groups
    words = taps_of(step, buffers, batch, (groups, step.words))
    x = unpack_bytes(words, 4 * step.words).astype(np.float64)
    looks_up = step.kind == StepKind.CONV_LOOKUPS
    numbers = (_looked_up if looks_up else _numbers)(step, buffers[step.weights])
    sums = np.empty((len(x), groups, each), np.int64)
    for group in range(groups):
        of_group = x[:, :, group].reshape(len(x), -1)
        products = of_group @ numbers[group, :each].T.astype(np.float64)
        totals = of_group.sum(1, keepdims=True)
        sums[:, group] = step.weight_step * products + step.weight_offset * totals
    sums = sums.reshape(batch, *step.size, step.channels)
    return (sums + starts_of(step, buffers)).astype(np.int32)


def _numbers(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(group, channel, tap * byte)` numbers of the weights."""
    bits, each = step.weight_bits, step.channels // step.groups
    together = 8 // bits
    vectors = -(-step.words // together)
    words = _apart(weights.reshape(step.groups, -1), each, LANES, step.taps, vectors)
    shifts = 8 * np.arange(4) + bits * np.arange(together)[:, None]
    numbers = words[..., None, None] >> shifts.astype(np.uint32) & ((1 << bits) - 1)
    numbers = numbers.reshape(*numbers.shape[:3], -1)[..., : 4 * step.words]
    return numbers.reshape(*numbers.shape[:2], -1)


def _looked_up(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """The same where products are looked up."""
    vectors = -(-4 * step.words // LOOKUP_BYTES)
    whole = weights.view(np.uint16).reshape(1, -1)
    words = _apart(whole, step.channels, LOOKUP_LANES, step.taps, vectors)
    numbers = words[..., None] >> np.arange(LOOKUP_BYTES, dtype=np.uint16) & 1
    numbers = numbers.reshape(*numbers.shape[:3], -1)[..., : 4 * step.words]
    return numbers.reshape(*numbers.shape[:2], -1)


def _apart(
    whole: np.ndarray, channels: int, lanes: int, taps: int, vectors: int
) -> np.ndarray:
    """`(group, channel, tap, vector)` of `(group, ...)` with some blocks side by side."""
    groups, blocks, first, found = len(whole), -(-channels // lanes), 0, []
    for begin in range(0, blocks, CODE_BLOCKS):
        beside = min(CODE_BLOCKS, blocks - begin)
        size = taps * vectors * beside * lanes
        part = whole[:, first : first + size]
        part = part.reshape(groups, taps, vectors, beside, lanes)
        found.append(part.transpose(0, 3, 4, 1, 2))
        first += size
    return np.concatenate(found, 1).reshape(groups, blocks * lanes, taps, vectors)


def depthwise_codes(
    step: KernelStep, buffers: list[np.ndarray], batch: int
) -> np.ndarray:
    """The sum of w * x over the window of each channel, and base."""
    words = taps_of(step, buffers, batch, (code_words_of(step.in_channels),))
    x = unpack_bytes(words, step.in_channels).astype(np.int64)
    w = buffers[step.weights].reshape(step.multiplier, step.taps, step.in_channels)
    sums = np.einsum("ptc,mtc->pcm", x, w.astype(np.int64))
    sums = sums.reshape(batch, *step.size, step.channels)
    return (sums + starts_of(step, buffers)).astype(np.int32)
