"""What a step reads and its epilogues, in NumPy, on all rows of all images at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._halves import to_bf16
from larqlite_runtime._program import (
    BitPool,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    TensorView,
)
from larqlite_runtime.format import QUANTIZERS, SIGN, pack, pack_bytes, unpack, words_of


def window(
    buffer: np.ndarray, view: TensorView, shape: tuple, strides: tuple
) -> np.ndarray:
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
    buffer: np.ndarray, view: TensorView, step: KernelStep, batch: int, last: int
) -> np.ndarray:
    """`(batch, depth, height, width, last)` elements of a buffer."""
    shape = (batch, *step.size, last)
    return window(
        buffer, view, shape, (view.image, view.depth, view.row, view.pixel, 1)
    )


def taps_of(
    step: KernelStep, buffers: list[np.ndarray], batch: int, last: tuple[int, ...]
) -> np.ndarray:
    """`(pixels, taps, *last)` words of the input of a convolution, copied."""
    view = step.input
    inner = [1]
    for size in reversed(last[1:]):
        inner.insert(0, inner[0] * size)
    shape = (batch, *step.size, *step.kernel, *last)
    strides = (view.image, view.depth, view.row, view.pixel, *step.tap, *inner)
    found = window(buffers[view.buffer], view, shape, strides)
    return found.reshape(-1, step.taps, *last)


def starts_of(step: KernelStep, buffers: list[np.ndarray]) -> np.ndarray:
    """`(depth, height, width, channels)` values that sums begin with."""
    depth, height, width = step.size

    def classes(number: int, count: int) -> np.ndarray:
        return buffers[number][:count] if number >= 0 else np.zeros(count, np.int32)

    rows = classes(step.row_class, depth * height)
    columns = classes(step.column_class, width)
    index = rows[:, None] * step.column_classes + columns
    table = buffers[step.base].reshape(-1, step.channels)
    return table[index].reshape(depth, height, width, step.channels)


@dataclass
class Run:
    """What the operations of one step need to know."""

    step: KernelStep
    buffers: list[np.ndarray]
    batch: int

    def channel_values(self, number: int) -> np.ndarray:
        """A buffer with one value per channel."""
        return self.buffers[number][: self.step.channels]

    def at(self, op: EpilogueOp) -> np.ndarray:
        """The values of a tensor that an operation reads or writes."""
        return pixels(
            self.buffers[op.view.buffer],
            op.view,
            self.step,
            self.batch,
            self.step.channels,
        )

    def write_bits(self, op: EpilogueOp, planes: list[np.ndarray]) -> None:
        """Stores planes of bits (true is -1)."""
        for plane, bits in enumerate(planes):
            words = pack(bits, op.group)
            view = op.view.moved(plane * op.words)
            self.store_words(replace(op, view=view), words)

    def store_words(self, op: EpilogueOp, words: np.ndarray) -> None:
        """Stores the words `(batch, depth, height, width, words)` that an operation packs."""
        step = self.step
        if op.pool is not None:
            words = self._largest(op.pool, words)
            step = replace(step, size=op.written(step.size))
        where = self.buffers[op.view.buffer]
        pixels(where, op.view, step, self.batch, words.shape[-1])[...] = words

    def _largest(self, pool: BitPool, words: np.ndarray) -> np.ndarray:
        """The largest values of windows side by side, in words of bits."""
        last, turned = words.shape[-1], np.uint32(0)
        if pool.turned >= 0:
            turned = self.buffers[pool.turned][:last]
        shape, kept = [self.batch], [slice(None)]
        for count, by in zip(self.step.size, pool.window, strict=True):
            shape += [count // by, by]
            kept.append(slice(count // by * by))
        whole = (words[tuple(kept)] ^ turned).reshape(*shape, last)
        return np.bitwise_and.reduce(whole, (2, 4, 6)) ^ turned


def apply(run: Run, v: np.ndarray) -> None:
    """Passes values `(batch, depth, height, width, channels)` through a step's epilogues."""
    for op in run.step.ops:
        v = _EPILOGUES[op.kind](run, op, v)


def _store(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    run.at(op)[...] = v
    return v


def _threshold(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    low, high = run.channel_values(op.a), run.channel_values(op.b)
    run.write_bits(op, [(v < low) | (v > high)])
    return v


def _pack_above(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    turned = unpack(run.buffers[op.b][: words_of(run.step.channels)], run.step.channels)
    run.write_bits(op, [(v > run.channel_values(op.a)) ^ turned])
    return v


def _sum(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    run.step = replace(run.step, size=(1, 1, 1))
    return v.sum((1, 2, 3), np.int64, keepdims=True).astype(np.int32)


def _average(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    run.step = replace(run.step, size=(1, 1, 1))
    return v.mean((1, 2, 3), np.float64, keepdims=True).astype(np.float32)


def _multiply_image(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    channels = run.step.channels
    gate = run.buffers[op.a][: run.batch * channels]
    return v * gate.reshape(run.batch, 1, 1, 1, channels)


def _add_scaled(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    buffer = run.buffers[op.view.buffer]
    return v + pixels(buffer, op.view, run.step, run.batch, 1) * run.channel_values(
        op.a
    )


def _power(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2^n and e^r - 1 whose product, with 1 added to the latter, is e^v of float32 v <= 0.

    With the operations of the kernels (`power_of` of `functions.cc`), as all that is made of it.
    """
    magic = np.float32(12582912)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        shifted = v * np.float32(1.44269502) + magic
        n = shifted - magic
        r = (v - n * np.float32(0.693359375)) - n * np.float32(-2.12194442e-4)
        e = np.float32(1 / 5040)
        for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1):
            e = e * r + np.float32(factor)
        scale = ((shifted.view(np.uint32) + np.uint32(127)) << 23).view(np.float32)
        return scale, e * r


def _power_of_e(v: np.ndarray) -> np.ndarray:
    """e^v of float32 v <= 0."""
    scale, less_one = _power(v)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return np.where(v < -87, np.float32(0), (less_one + np.float32(1)) * scale)


def _power_of_e_less_one(v: np.ndarray) -> np.ndarray:
    """e^v - 1 of float32 v <= 0."""
    scale, less_one = _power(v)
    one = np.float32(1)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return np.where(v < -87, -one, scale * less_one + (scale - one))


def _sigmoid(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    one = np.float32(1)
    power = _power_of_e(np.where(v < 0, v, -v))
    return np.where(v < 0, power, one) / (one + power)


def _tanh(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    below = np.where(v < 0, v, -v)
    power = _power_of_e_less_one(below + below)
    half = power / (power + np.float32(2))
    return np.where(v > 0, -half, half)


def _elu(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    power = _power_of_e_less_one(np.where(v < 0, v, np.float32(0)))
    return np.where(v < 0, np.float32(op.x) * power, v)


def _softmax(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        powers = _power_of_e(v - np.fmax.reduce(v, axis=-1, keepdims=True))
        # Sixteen lanes, each one value after another, and then they.
        lanes = np.zeros((*v.shape[:-1], -(-v.shape[-1] // 16) * 16))
        lanes[..., : v.shape[-1]] = powers
        lanes = lanes.reshape(*v.shape[:-1], -1, 16).cumsum(-2)[..., -1, :]
        return powers / lanes.cumsum(-1)[..., -1:].astype(np.float32)


def _attributes(op: EpilogueOp) -> dict[str, float]:
    """What the quantizer of an operation has."""
    return {"threshold": op.x, "bits": op.planes, "low": op.x, "high": op.y}


def _pack_bf16(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    run.at(op)[...] = to_bf16(v)
    return v


def _pack_pixels(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
    inside = np.where(v > 0, np.minimum(v, np.float32(255)), np.float32(0))
    run.at(op)[...] = np.rint(inside).astype(np.uint16)
    return v


def _packs(name: str):
    def pack_planes(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
        run.write_bits(op, QUANTIZERS[name].planes_of(v, _attributes(op)))
        return v

    return pack_planes


def _codes(name: str):
    def pack_levels(run: Run, op: EpilogueOp, v: np.ndarray) -> np.ndarray:
        words = pack_bytes(QUANTIZERS[name].levels_of(v, _attributes(op)), op.group)
        where = run.buffers[op.view.buffer]
        pixels(where, op.view, run.step, run.batch, words.shape[-1])[...] = words
        return v

    return pack_levels


_EPILOGUES: dict[EpilogueKind, Callable[[Run, EpilogueOp, np.ndarray], np.ndarray]] = {
    EpilogueKind.STORE_INT: _store,
    EpilogueKind.THRESHOLD: _threshold,
    EpilogueKind.TO_FLOAT: lambda run, op, v: v.astype(np.float32),
    EpilogueKind.SUM: _sum,
    EpilogueKind.AVERAGE: _average,
    EpilogueKind.MULTIPLY: lambda run, op, v: v * run.channel_values(op.a),
    EpilogueKind.DIVIDE: lambda run, op, v: v / run.channel_values(op.a),
    EpilogueKind.ADD: lambda run, op, v: v + run.channel_values(op.a),
    EpilogueKind.ADD_TENSOR: lambda run, op, v: v + run.at(op),
    EpilogueKind.MULTIPLY_IMAGE: _multiply_image,
    EpilogueKind.ADD_SCALED: _add_scaled,
    EpilogueKind.RELU: lambda run, op, v: np.maximum(v, np.float32(0)),
    EpilogueKind.PRELU: lambda run, op, v: np.where(
        v < 0, v * run.channel_values(op.a), v
    ),
    EpilogueKind.CLIP: lambda run, op, v: np.minimum(
        np.maximum(v, np.float32(op.x)), np.float32(op.y)
    ),
    EpilogueKind.SOFTMAX: _softmax,
    EpilogueKind.SIGMOID: _sigmoid,
    EpilogueKind.TANH: _tanh,
    EpilogueKind.ELU: _elu,
    EpilogueKind.MULTIPLY_TENSOR: lambda run, op, v: v * run.at(op),
    EpilogueKind.DIVIDE_TENSOR: lambda run, op, v: v / run.at(op),
    EpilogueKind.SQUARE_ROOT: lambda run, op, v: np.sqrt(v),
    EpilogueKind.FLOOR: lambda run, op, v: np.floor(v),
    EpilogueKind.STORE: _store,
    EpilogueKind.SIGN: lambda run, op, v: SIGN.values_of(v, {}),
    EpilogueKind.PACK_BF16: _pack_bf16,
    EpilogueKind.PACK_PIXELS: _pack_pixels,
    EpilogueKind.PACK_RANGE: _threshold,
    EpilogueKind.PACK_ABOVE: _pack_above,
    EpilogueKind.PACK_SIGN: _packs("Sign"),
    EpilogueKind.PACK_HEAVISIDE: _packs("Heaviside"),
    EpilogueKind.PACK_TERNARY: _packs("Ternary"),
    EpilogueKind.PACK_STEPS: _packs("Steps"),
    EpilogueKind.PACK_INTEGERS: _packs("Integers"),
    EpilogueKind.CODE_SIGN: _codes("Sign"),
    EpilogueKind.CODE_HEAVISIDE: _codes("Heaviside"),
    EpilogueKind.CODE_TERNARY: _codes("Ternary"),
    EpilogueKind.CODE_STEPS: _codes("Steps"),
    EpilogueKind.CODE_INTEGERS: _codes("Integers"),
}
