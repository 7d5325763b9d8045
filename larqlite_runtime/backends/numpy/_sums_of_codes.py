"""Sums of products of codes (bytes) and whole numbers in NumPy: exact, in float64."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._program import CODE_BLOCKS, LANES, KernelStep
from larqlite_runtime.backends.numpy._taps import starts_of, taps_of
from larqlite_runtime.format import code_words_of, unpack_bytes


def conv_codes(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    """weight_step * P + weight_offset * S + base, as `larqlite.h` has it."""
    groups, each = step.groups, step.channels // step.groups
    words = taps_of(step, buffers, batch, (groups, step.words))
    x = unpack_bytes(words, 4 * step.words).astype(np.float64)
    numbers = _numbers(step, buffers[step.weights])
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
    blocks, together = -(-each // LANES), 8 // step.weight_bits
    vectors = -(-step.words // together)
    whole = weights.reshape(step.groups, -1)
    found, first = [], 0
    for begin in range(0, blocks, CODE_BLOCKS):
        beside = min(CODE_BLOCKS, blocks - begin)
        size = step.taps * vectors * beside * LANES
        part = whole[:, first : first + size]
        part = part.reshape(step.groups, step.taps, vectors, beside, LANES)
        found.append(part.transpose(0, 3, 4, 1, 2))
        first += size
    words = np.concatenate(found, 1)  # (group, block, lane, tap, vector)
    shifts = 8 * np.arange(4) + bits * np.arange(together)[:, None]
    numbers = words[..., None, None] >> shifts.astype(np.uint32) & ((1 << bits) - 1)
    numbers = numbers.reshape(step.groups, blocks * LANES, step.taps, -1)
    return numbers[..., : 4 * step.words].reshape(step.groups, blocks * LANES, -1)


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
