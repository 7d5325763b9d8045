"""The row operations of a step in NumPy, on all rows of all images at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import Op, Row, Step, View, words_of


def window(buffer: np.ndarray, view: View, shape: tuple, strides: tuple) -> np.ndarray:
    """A strided look at a flat buffer; raises ValueError where it would leave it."""
    size = buffer.itemsize
    return np.ndarray(
        shape,
        buffer.dtype,
        buffer,
        view.offset * size,
        tuple(stride * size for stride in strides),
    )


def pixels(
    buffer: np.ndarray, view: View, step: Step, batch: int, last: int
) -> np.ndarray:
    """`(batch, depth, height, width, last)` elements of a buffer."""
    shape = (batch, *step.size, last)
    return window(
        buffer, view, shape, (view.image, view.depth, view.row, view.pixel, 1)
    )


def pack(bits: np.ndarray, group: int) -> np.ndarray:
    """Bits `(..., channels)` as 32-bit words, each group from a word of its own.

    >>> pack(np.array([1, 0, 1, 1], bool), 2)
    array([1, 3], dtype=uint32)
    """
    channels = bits.shape[-1]
    group = group or channels
    groups, words = channels // group, words_of(group)
    filled = np.zeros((*bits.shape[:-1], groups, words * 32), bool)
    filled[..., :group] = bits.reshape(*bits.shape[:-1], groups, group)
    packed = np.packbits(filled, axis=-1, bitorder="little").view("<u4")
    return packed.reshape(*bits.shape[:-1], groups * words)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """The first `channels` bits of words along the last axis, as uint8."""
    flat = np.ascontiguousarray(words.astype("<u4", copy=False)).view(np.uint8)
    return np.unpackbits(flat, axis=-1, count=channels, bitorder="little")


@dataclass
class Run:
    """What the operations of one step need to know."""

    step: Step
    buffers: list[np.ndarray]
    batch: int

    def channel_values(self, number: int) -> np.ndarray:
        """A buffer with one value per channel."""
        return self.buffers[number][: self.step.channels]

    def at(self, op: Op) -> np.ndarray:
        """The values of a tensor that an operation reads or writes."""
        return pixels(
            self.buffers[op.view.buffer],
            op.view,
            self.step,
            self.batch,
            self.step.channels,
        )

    def write_bits(self, op: Op, planes: list[np.ndarray]) -> None:
        """Stores planes of bits (true is -1)."""
        for plane, bits in enumerate(planes):
            packed = pack(bits, op.group)
            view = op.view.moved(plane * op.words)
            pixels(
                self.buffers[op.view.buffer],
                view,
                self.step,
                self.batch,
                packed.shape[-1],
            )[...] = packed


def apply(run: Run, v: np.ndarray) -> None:
    """Passes values `(batch, depth, height, width, channels)` through a step's row ops."""
    for op in run.step.ops:
        v = _ROWS[op.kind](run, op, v)


def ternary(v: np.ndarray, threshold: float) -> np.ndarray:
    """sgn(sgn(v + threshold) + sgn(v - threshold)) in float32."""
    threshold = np.float32(threshold)
    return _signum(_signum(v + threshold) + _signum(v - threshold))


def _signum(v: np.ndarray) -> np.ndarray:
    """-1, 0 or 1; 0 for NaN."""
    return (v > 0).astype(np.float32) - (v < 0)


def steps_codes(v: np.ndarray, planes: int) -> np.ndarray:
    """The nearest of 2^planes steps from 0 to 1, as integers."""
    levels = np.float32((1 << planes) - 1)
    clipped = np.fmin(np.fmax(v, np.float32(0)), np.float32(1))
    return np.rint(clipped * levels).astype(np.int32)


def _store(run: Run, op: Op, v: np.ndarray) -> np.ndarray:
    run.at(op)[...] = v
    return v


def _threshold(run: Run, op: Op, v: np.ndarray) -> np.ndarray:
    low, high = run.channel_values(op.a), run.channel_values(op.b)
    run.write_bits(op, [(v < low) | (v > high)])
    return v


def _multiply_image(run: Run, op: Op, v: np.ndarray) -> np.ndarray:
    channels = run.step.channels
    gate = run.buffers[op.a][: run.batch * channels]
    return v * gate.reshape(run.batch, 1, 1, 1, channels)


def _packing(planes: Callable[[Op, np.ndarray], list[np.ndarray]]):
    def packs(run: Run, op: Op, v: np.ndarray) -> np.ndarray:
        run.write_bits(op, planes(op, v))
        return v

    return packs


def _ternary_planes(op: Op, v: np.ndarray) -> list[np.ndarray]:
    t = ternary(v, op.x)
    return [~(t >= 0), ~(t > 0)]


def _steps_planes(op: Op, v: np.ndarray) -> list[np.ndarray]:
    codes = steps_codes(v, op.planes)
    return [(codes >> plane & 1) == 0 for plane in range(op.planes)]


_ROWS: dict[Row, Callable[[Run, Op, np.ndarray], np.ndarray]] = {
    Row.STORE_INT: _store,
    Row.THRESHOLD: _threshold,
    Row.TO_FLOAT: lambda run, op, v: v.astype(np.float32),
    Row.MULTIPLY: lambda run, op, v: v * run.channel_values(op.a),
    Row.ADD: lambda run, op, v: v + run.channel_values(op.a),
    Row.ADD_TENSOR: lambda run, op, v: v + run.at(op),
    Row.MULTIPLY_IMAGE: _multiply_image,
    Row.RELU: lambda run, op, v: np.maximum(v, np.float32(0)),
    Row.PRELU: lambda run, op, v: np.where(v < 0, v * run.channel_values(op.a), v),
    Row.CLIP: lambda run, op, v: np.minimum(
        np.maximum(v, np.float32(op.x)), np.float32(op.y)
    ),
    Row.STORE: _store,
    Row.SIGN: lambda run, op, v: np.where(v < 0, np.float32(-1), np.float32(1)),
    Row.PACK_SIGN: _packing(lambda op, v: [v < 0]),
    Row.PACK_HEAVISIDE: _packing(lambda op, v: [~(v > 0)]),
    Row.PACK_TERNARY: _packing(_ternary_planes),
    Row.PACK_STEPS: _packing(_steps_planes),
}
