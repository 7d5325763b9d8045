"""The weights of steps out of the layouts of the kernels: `native/larqlite.h` says how they lie."""

from __future__ import annotations

import numpy as np

from larqlite_runtime.internal import (
    CODE_BLOCKS,
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
    KernelStep,
    StepKind,
)


def plane_words(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(channels, planes, taps, words)` of `CONV`."""
    each, groups = step.channels // step.groups, step.groups
    blocks = -(-each // LANES)
    shape = (groups, blocks, step.weight_planes, step.taps, step.words, LANES)
    lanes = weights[: int(np.prod(shape))].reshape(shape).transpose(0, 1, 5, 2, 3, 4)
    lanes = lanes.reshape(groups, blocks * LANES, *shape[2:5])[:, :each]
    return np.ascontiguousarray(lanes).reshape(step.channels, *shape[2:5])


def depthwise_words(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(multiplier, planes, taps, words)` of `DEPTHWISE`."""
    words = -(-step.in_channels // 32)
    shape = (step.multiplier, step.weight_planes, step.taps, words)
    return weights[: int(np.prod(shape))].reshape(shape)


def depthwise_numbers(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(multiplier, taps, channels of the input)` of `DEPTHWISE_CODES`, `DEPTHWISE_FLOAT`."""
    shape = (step.multiplier, step.taps, step.in_channels)
    return weights[: int(np.prod(shape))].reshape(shape)


def float_weights(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(channels, taps, channels of the input of a group)` of `CONV_FLOAT`."""
    each = step.channels // step.groups
    shape = (step.groups, -(-each // LANES), step.taps, step.in_channels, LANES)
    lanes = weights[: int(np.prod(shape))].reshape(shape).transpose(0, 1, 4, 2, 3)
    lanes = lanes.reshape(step.groups, -1, *shape[2:4])[:, :each]
    return np.ascontiguousarray(lanes).reshape(step.channels, *shape[2:4])


def code_numbers(step: KernelStep, weights: np.ndarray) -> np.ndarray:
    """`(channels, taps, 4 * words)` numbers of `CONV_CODES` and `CONV_LOOKUPS`."""
    if step.kind == StepKind.CONV_LOOKUPS:
        vectors, lanes = -(-4 * step.words // LOOKUP_BYTES), LOOKUP_LANES
        shifts = np.arange(LOOKUP_BYTES)
        words = weights.view(np.uint16).astype(np.uint32)
        bits, groups = 1, 1
    else:
        bits, groups, lanes = step.weight_bits, step.groups, LANES
        together = 8 // bits
        vectors = -(-step.words // together)
        shifts = (8 * np.arange(4) + bits * np.arange(together)[:, None]).reshape(-1)
        words = weights
    each = step.channels // groups
    apart = _apart(words, groups, -(-each // lanes), lanes, step.taps * vectors)
    numbers = apart[:, :each, :, None] >> shifts.astype(np.uint32) & ((1 << bits) - 1)
    numbers = numbers.reshape(step.channels, step.taps, -1)
    return numbers[..., : 4 * step.words].astype(np.uint8)


def _apart(
    words: np.ndarray, groups: int, blocks: int, lanes: int, vectors: int
) -> np.ndarray:
    """`(group, channel, vector)` of blocks that lie side by side."""
    whole = words[: groups * blocks * vectors * lanes].reshape(groups, -1)
    found, first = [], 0
    for begin in range(0, blocks, CODE_BLOCKS):
        beside = min(CODE_BLOCKS, blocks - begin)
        part = whole[:, first : first + vectors * beside * lanes]
        first += vectors * beside * lanes
        part = part.reshape(groups, vectors, beside, lanes).transpose(0, 2, 3, 1)
        found.append(part.reshape(groups, beside * lanes, vectors))
    return np.concatenate(found, 1)
