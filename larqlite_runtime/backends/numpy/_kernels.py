"""An interpreter of programs in NumPy: what runs without a compiler, and the reference.

It follows `native/program.h` on whole images instead of rows: to the bit, but for the order in
which a float convolution sums its products, and numbers below 2^-126, which some CPUs take for
0 where they multiply bfloat16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from larqlite_runtime._halves import from_bf16
from larqlite_runtime._program import MOVE_FIELDS, KernelStep, StepKind
from larqlite_runtime.backends.numpy._epilogues import (
    Run,
    apply,
    pixels,
    starts_of,
    taps_of,
    window,
)
from larqlite_runtime.backends.numpy._sums_of_codes import conv_codes, depthwise_codes
from larqlite_runtime.format import unpack, words_of

# Values of a block of sums, so that what is computed on stays in the cache.
_BLOCK = 1 << 15


def run(
    steps: Sequence[KernelStep],
    buffers: list[np.ndarray],
    batch: int,
    seconds: np.ndarray | None = None,
) -> None:
    """Runs steps in order for `batch` images.

    Args:
        steps: of one part of a program.
        buffers: one-dimensional arrays, one for each buffer of the program.
        batch: images.
        seconds: None, or a float64 array to which the time of each step is added.

    Raises:
        ValueError: a step would read or write beyond a buffer.
    """
    for number, step in enumerate(steps):
        begin = time.perf_counter()
        # NaN and infinities pass as they do in the native kernels, without a word.
        with np.errstate(all="ignore"):
            apply(Run(step, buffers, batch), _KINDS[step.kind](step, buffers, batch))
        if seconds is not None:
            seconds[number] += time.perf_counter() - begin


def _load(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    return pixels(
        buffers[step.input.buffer], step.input, step, batch, step.channels
    ).copy()


def _sums(
    step: KernelStep, buffers: list[np.ndarray], counts: np.ndarray
) -> np.ndarray:
    return (starts_of(step, buffers) - 2 * counts) >> step.shift


def _plane_pairs(step: KernelStep):
    for of_input in range(step.input_planes):
        for of_weights in range(step.weight_planes):
            yield of_input, of_weights, of_input + of_weights


def _conv(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    groups, words, planes = step.groups, step.words, step.weight_planes
    each = step.channels // groups
    inputs = taps_of(step, buffers, batch, (step.input_planes, groups, words))
    blocks = -(-each // 16)
    weights = buffers[step.weights].reshape(
        groups, blocks, planes, step.taps, words, 16
    )
    # (group, plane, tap * word, channel)
    weights = weights.transpose(0, 2, 3, 4, 1, 5).reshape(
        groups, planes, step.taps * words, blocks * 16
    )[..., :each]
    counts = np.zeros((len(inputs), groups, each), np.int32)
    for of_input, of_weights, shift in _plane_pairs(step):
        for group in range(groups):
            x = inputs[:, :, of_input, group].reshape(len(inputs), -1)
            _count(x, weights[group, of_weights], counts[:, group], shift)
    return _sums(step, buffers, counts.reshape(batch, *step.size, step.channels))


def _conv_float(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    groups, each = step.groups, step.channels // step.groups
    x = taps_of(step, buffers, batch, (groups, step.in_channels))
    blocks = -(-each // 16)
    weights = buffers[step.weights].reshape(groups, blocks, -1, 16)
    weights = weights.transpose(0, 2, 1, 3).reshape(groups, -1, blocks * 16)
    sums = np.concatenate(
        [
            x[:, :, group].reshape(len(x), -1) @ weights[group, :, :each]
            for group in range(groups)
        ],
        axis=1,
    )
    return sums.reshape(batch, *step.size, step.channels)


def _depthwise_float(
    step: KernelStep, buffers: list[np.ndarray], batch: int
) -> np.ndarray:
    x = taps_of(step, buffers, batch, (step.in_channels,))
    weights = buffers[step.weights].reshape(
        step.multiplier, step.taps, step.in_channels
    )
    sums = np.zeros((len(x), step.in_channels, step.multiplier), np.float32)
    for tap in range(step.taps):
        sums += x[:, tap, :, None] * weights[:, tap].T
    return sums.reshape(batch, *step.size, step.channels)


def _half_weights(step: KernelStep, buffers: list[np.ndarray]) -> np.ndarray:
    """`(taps * in_channels, channels)` numbers of 16 bits."""
    blocks, runs = -(-step.channels // 16), step.runs
    weights = buffers[step.weights].reshape(blocks, runs.count, runs.pairs, 16, 2)
    weights = weights.transpose(1, 2, 4, 0, 3).reshape(runs.count, -1, blocks * 16)
    return weights[:, : runs.values].reshape(-1, blocks * 16)[:, : step.channels]


def _conv_bf16(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = from_bf16(taps_of(step, buffers, batch, (step.in_channels,)))
    sums = x.reshape(len(x), -1) @ from_bf16(_half_weights(step, buffers))
    return sums.reshape(batch, *step.size, step.channels)


def _conv_pixels(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = taps_of(step, buffers, batch, (step.in_channels,)).view(np.int16)
    weights = _half_weights(step, buffers).view(np.int16)
    # Sums of int32 are exact in float64.
    sums = x.reshape(len(x), -1).astype(np.float64) @ weights.astype(np.float64)
    sums = sums.astype(np.int64).astype(np.int32)
    sums = sums.reshape(batch, *step.size, step.channels)
    return sums + starts_of(step, buffers)


def _conv_bytes(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = _whole_input(step, buffers, batch).astype(np.int64)
    weights = buffers[step.weights].reshape(-1, step.taps, step.in_channels, 16)
    weights = weights.transpose(1, 2, 0, 3).reshape(*step.kernel, step.in_channels, -1)
    weights = weights[..., : step.channels].astype(np.int64)
    v = np.zeros((batch, *step.size, step.channels), np.int64)
    for tap, outputs, inputs in _taps_inside(step):
        v[outputs] += x[inputs] @ weights[tap]
    return (v + starts_of(step, buffers)).astype(np.int32)


def _count(x: np.ndarray, w: np.ndarray, counts: np.ndarray, shift: int) -> None:
    """counts[p, c] += 2^shift popcount(x[p] ^ w[:, c]), 64 bits at a time."""
    if x.shape[1] % 2:
        x, w = np.pad(x, ((0, 0), (0, 1))), np.pad(w, ((0, 1), (0, 0)))
    x = np.ascontiguousarray(np.ascontiguousarray(x).view(np.uint64).T)
    w = np.ascontiguousarray(np.ascontiguousarray(w.T).view(np.uint64).T)
    rows = max(1, _BLOCK // w.shape[1])
    for begin in range(0, x.shape[1], rows):
        block = np.zeros((min(rows, x.shape[1] - begin), w.shape[1]), np.int32)
        for of_pixels, of_channels in zip(x[:, begin : begin + rows], w, strict=True):
            block += popcount(of_pixels[:, None] ^ of_channels)
        counts[begin : begin + rows] += block << shift


def _popcount_by_table(words: np.ndarray) -> np.ndarray:
    parts = _TABLE[np.ascontiguousarray(words).view(np.uint16)]
    return parts.reshape(*words.shape, -1).sum(-1, dtype=np.uint8)


_TABLE = (
    np.unpackbits(np.arange(1 << 16, dtype="<u2").view(np.uint8))
    .reshape(-1, 16)
    .sum(1, dtype=np.uint8)
)
# NumPy 1.26 has no bitwise_count.
popcount: Callable[[np.ndarray], np.ndarray] = getattr(
    np, "bitwise_count", _popcount_by_table
)


def _depthwise(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    channels, multiplier = step.in_channels, step.multiplier
    words = words_of(channels)
    inputs = taps_of(step, buffers, batch, (step.input_planes, words))
    weights = buffers[step.weights].reshape(
        multiplier, step.weight_planes, step.taps, words
    )
    counts = np.zeros((len(inputs), channels, multiplier), np.int32)
    for of_input, of_weights, shift in _plane_pairs(step):
        for multiple in range(multiplier):
            for tap in range(step.taps):
                differ = inputs[:, tap, of_input] ^ weights[multiple, of_weights, tap]
                ones = unpack(differ, channels).astype(np.int32)
                counts[:, :, multiple] += ones << shift
    return _sums(step, buffers, counts.reshape(batch, *step.size, step.channels))


def _pool_taps(step: KernelStep):
    """For each tap: the outputs (slices) that have it, and their inputs (slices)."""
    for _, outputs, inputs in _taps_inside(step):
        yield outputs, inputs


def _taps_inside(step: KernelStep):
    """The taps that any output has, with the slices of `_pool_taps`."""
    for tap in np.ndindex(*step.kernel):
        outputs, inputs = [], []
        for axis in range(3):
            start = tap[axis] * step.dilation[axis] - step.pad[axis]
            stride = step.stride[axis]
            first = max(0, -(start // stride))
            end = min(step.size[axis], -((start - step.in_size[axis]) // stride))
            if first >= end:
                break
            outputs.append(slice(first, end))
            inputs.append(
                slice(start + first * stride, start + (end - 1) * stride + 1, stride)
            )
        else:
            yield tap, (slice(None), *outputs), (slice(None), *inputs)


def _whole_input(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    """The input of a pooling step without its strides."""
    view = step.input
    per_pixel = (
        [tap // dilation for tap, dilation in zip(step.tap, step.dilation, strict=True)]
        if step.kind != StepKind.MEAN
        else [view.depth, view.row, view.pixel]
    )
    last = {
        StepKind.MOVE_BITS: step.words,
        StepKind.CONV_BYTES: step.in_channels,
    }.get(step.kind, step.channels)
    shape = (batch, *step.in_size, last)
    return window(buffers[view.buffer], view, shape, (view.image, *per_pixel, 1))


def _pool(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = _whole_input(step, buffers, batch)
    takes_max = step.kind == StepKind.POOL_MAX
    v = np.full(
        (batch, *step.size, step.channels), -np.inf if takes_max else 0, np.float32
    )
    inside = np.zeros((1, *step.size, 1), np.float32)
    for outputs, inputs in _pool_taps(step):
        # A largest value leaves NaN out.
        v[outputs] = (np.fmax if takes_max else np.add)(v[outputs], x[inputs])
        inside[outputs] += 1
    if takes_max:
        return v
    whole = step.kind == StepKind.POOL_AVERAGE_PADDED
    return v / (np.float32(step.taps) if whole else np.maximum(inside, 1))


def _mean(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = _whole_input(step, buffers, batch)
    return x.mean((1, 2, 3), np.float64, keepdims=True).astype(np.float32)


def _move_bits(step: KernelStep, buffers: list[np.ndarray], batch: int) -> np.ndarray:
    x = _whole_input(step, buffers, batch)
    turned = np.zeros(step.words, np.uint32)
    if step.base >= 0:
        turned = buffers[step.base][: step.words]
    v = np.full((batch, *step.size, step.words), 0xFFFFFFFF, np.uint32)
    for outputs, inputs in _pool_taps(step):
        v[outputs] &= x[inputs] ^ turned
    v ^= turned
    if step.weights >= 0:
        v = _in_place(step, buffers[step.weights], v)
    return v


def _in_place(step: KernelStep, table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Words whose bits come from elsewhere in those of `x`."""
    v = np.zeros((*x.shape[:-1], step.channels), np.uint32)
    count = step.multiplier * MOVE_FIELDS * step.channels
    for move in table[:count].reshape(step.multiplier, MOVE_FIELDS, step.channels):
        word, after, shift, *moved, mask = move
        pair = x[..., word].astype(np.uint64)
        pair |= x[..., after].astype(np.uint64) << np.uint64(32)
        bits = (pair >> shift.astype(np.uint64)).astype(np.uint32)
        for by, up in zip((16, 8, 4, 2, 1), moved, strict=True):
            bits = (bits & ~up) | ((bits << np.uint32(by)) & up)
        v |= bits & mask
    return v


_KINDS: dict[StepKind, Callable[[KernelStep, list[np.ndarray], int], np.ndarray]] = {
    StepKind.LOAD: _load,
    StepKind.CONV: _conv,
    StepKind.DEPTHWISE: _depthwise,
    StepKind.POOL_MAX: _pool,
    StepKind.POOL_AVERAGE: _pool,
    StepKind.POOL_AVERAGE_PADDED: _pool,
    StepKind.MEAN: _mean,
    StepKind.CONV_FLOAT: _conv_float,
    StepKind.CONV_CODES: conv_codes,
    StepKind.DEPTHWISE_CODES: depthwise_codes,
    StepKind.CONV_LOOKUPS: conv_codes,
    StepKind.CONV_BF16: _conv_bf16,
    StepKind.CONV_PIXELS: _conv_pixels,
    StepKind.MOVE_BITS: _move_bits,
    StepKind.DEPTHWISE_FLOAT: _depthwise_float,
    StepKind.CONV_BYTES: _conv_bytes,
}
