"""Float convolutions of other numbers: bfloat16, or pixels and whole weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._halves import runs_of, to_bf16
from larqlite_runtime._program import LANES
from larqlite_runtime.planner._window import Triple, Window

MOST_PIXEL = 255
# Weights are whole numbers of 16 bits.
_MOST_WEIGHT = (1 << 15) - 1
_MOST_SUM = (1 << 31) - 1
_MOST_POWER = 100  # of two, that weights are multiplied with


@dataclass(frozen=True)
class PixelScale:
    """What a network makes of its integer pixels p: factor * p + offset, channel by channel.

    Attributes:
        factor, offset: float64, one for each channel.
    """

    factor: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class PixelSums:
    """A convolution of scaled pixels as sums of whole numbers: `scale * (sum + start)`.

    Attributes:
        codes: int16 or int32 weights `(out, in, *window)`; with 255 for every pixel, no sum
            leaves int32, its start included.
        scale: float32, of each output channel.
        starts: int32 (row classes, column classes, out), what the offset adds.
        of_row, of_column: the class of each position, None where there is one class.
        is_exact: whether `scale * (sum + start)` is what float32 makes of the same, in
            whatever order it sums.
    """

    codes: np.ndarray
    scale: np.ndarray
    starts: np.ndarray
    of_row: np.ndarray | None
    of_column: np.ndarray | None
    is_exact: bool = False

    def range(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest sum of each output channel, int64."""
        codes = self.codes.astype(np.int64).reshape(len(self.codes), -1)
        starts = self.starts.astype(np.int64).reshape(-1, len(codes))
        low = starts.min(0) + MOST_PIXEL * np.minimum(codes, 0).sum(1)
        return low, starts.max(0) + MOST_PIXEL * np.maximum(codes, 0).sum(1)


def byte_sums(weights: np.ndarray, pixels: PixelScale, window: Window) -> PixelSums:
    """Weights of pixels as multiples of a power of two, as fine as int32 has room for.

    Of output channel c a weight w becomes `round(w * 2^Q)`, with the largest Q for which no
    sum leaves int32. A factor that all input channels have in common stays in the scale, so
    that few-valued weights are exact. What the offset adds is no part of borders, which hold 0
    behind the scaling: there is a start for each class of positions. Where weights are no such
    multiples, a sum of n products is off by at most `n * 255 / 2^31` of the largest that the
    channel can have, offset included.

    Args:
        weights: float32 `(out, in, *window)`.
        pixels: scale and offset of each input channel.
        window: of the convolution.
    """
    out, inside = weights.shape[:2]
    shape = 1, inside, *[1] * (weights.ndim - 2)
    common = pixels.factor[0]
    if common == 0 or (pixels.factor != common).any():
        common = np.float64(1)
    scaled = weights.astype(np.float64) * (pixels.factor / common).reshape(shape)
    shifted = weights.astype(np.float64) * (pixels.offset / common).reshape(shape)
    shifted = shifted.sum(1).reshape(out, *window.kernel)
    starts, of_row, of_column = window.by_class(shifted)
    if not pixels.offset.any():
        starts, of_row, of_column = starts[:1, :1], None, None
    flat = scaled.reshape(out, -1)
    room = _MOST_SUM - MOST_PIXEL * flat.shape[1] // 2 - 2
    most = MOST_PIXEL * np.abs(flat).sum(1) + np.abs(starts).max((0, 1))
    some = np.where(most > 0, most, 1.0)
    power = np.exp2(np.clip(np.floor(np.log2(room / some)), -_MOST_POWER, _MOST_POWER))
    codes = np.rint(scaled * power.reshape(out, *[1] * (weights.ndim - 1)))
    whole = np.rint(starts * power)
    scale = (common / power).astype(np.float32)
    is_exact = (
        bool((codes.reshape(out, -1) == flat * power[:, None]).all())
        and bool((whole == starts * power).all())
        and bool((scale == common / power).all())
        and _is_exact_in_float32(weights.reshape(out, inside, -1), pixels)
    )
    return PixelSums(
        codes.astype(np.int32),
        scale,
        whole.astype(np.int32),
        of_row,
        of_column,
        is_exact,
    )


def _is_exact_in_float32(weights: np.ndarray, pixels: PixelScale) -> bool:
    """Whether float32 rounds nothing on the way to a sum `(out, in, taps)` of scaled pixels."""
    given = np.arange(MOST_PIXEL + 1, dtype=np.float32)[:, None]
    factor, offset = pixels.factor.astype(np.float32), pixels.offset.astype(np.float32)
    if (factor != pixels.factor).any() or (offset != pixels.offset).any():
        return False
    in_float32 = given * factor + offset
    x = given.astype(np.float64) * pixels.factor + pixels.offset
    if (given * factor != given.astype(np.float64) * pixels.factor).any():
        return False
    if (in_float32 != x).any():
        return False
    unit = _lowest_bit(x) * np.array([_lowest_bit(own) for own in weights])
    most = (np.abs(weights.astype(np.float64)) * np.abs(x).max(0)[:, None]).sum((1, 2))
    return bool((most <= unit * 2.0**24).all())


def _lowest_bit(values: np.ndarray) -> float:
    """The largest power of two of which all values are multiples; 1 if all are 0."""
    mantissa, exponent = np.frexp(values[values != 0].astype(np.float64))
    if not len(mantissa):
        return 1.0
    whole = (mantissa * 2.0**53).astype(np.int64)
    return float(np.ldexp((whole & -whole).astype(np.float64), exponent - 53).min())


def pixel_sums(weights: np.ndarray, pixels: PixelScale, window: Window) -> PixelSums:
    """Weights and scale of pixels as whole numbers; borders hold 0 behind the scale.

    Of an output channel all weights are multiples of one step, the largest 32767 of them or
    as few as int32 asks for: they are off by half a step at most, and so is the start.

    Args:
        weights: float32 `(out, in, *window)`.
        pixels: scale and offset of each input channel.
        window: of the convolution.
    """
    out, inside = weights.shape[:2]
    shape = 1, inside, *[1] * (weights.ndim - 2)
    scaled = weights.astype(np.float64) * pixels.factor.reshape(shape)
    shifted = weights.astype(np.float64) * pixels.offset.reshape(shape)
    shifted = shifted.sum(1).reshape(out, *window.kernel)
    starts, of_row, of_column = window.by_class(shifted)
    if not pixels.offset.any():
        starts, of_row, of_column = starts[:1, :1], None, None
    flat = np.abs(scaled).reshape(out, -1)
    # Every weight may be rounded up by half a step, and the start too.
    room = _MOST_SUM - MOST_PIXEL * flat.shape[1] // 2 - 2
    most = MOST_PIXEL * flat.sum(1) + np.abs(starts).max((0, 1))
    step = np.maximum(flat.max(1) / _MOST_WEIGHT, most / room)
    step = np.where(step > 0, step, 1.0)
    codes = np.rint(scaled / step.reshape(out, *[1] * (weights.ndim - 1)))
    return PixelSums(
        codes.astype(np.int16),
        step.astype(np.float32),
        np.rint(starts / step).astype(np.int32),
        of_row,
        of_column,
    )


def stored_halves(weights: np.ndarray, kernel: Triple, tap_pixel: int) -> np.ndarray:
    """Weights as the kernels read them: uint16 (block, run, pair, 16 channels, 2).

    Args:
        weights: `(out, in, *window)`, float32 for bfloat16 or int16.
        kernel: sizes of the window.
        tap_pixel: elements of the input from one tap of a row to the next.
    """
    out, inside = weights.shape[:2]
    runs = runs_of(kernel, tap_pixel, inside)
    halves = weights.view(np.uint16) if weights.dtype == np.int16 else to_bf16(weights)
    blocks = -(-out // LANES)
    padded = np.zeros((blocks * LANES, runs.count, runs.pairs * 2), np.uint16)
    values = halves.reshape(out, inside, -1).transpose(0, 2, 1)  # (out, tap, in)
    padded[:out, :, : runs.values] = values.reshape(out, runs.count, runs.values)
    padded = padded.reshape(blocks, LANES, runs.count, runs.pairs, 2)
    return np.ascontiguousarray(padded.transpose(0, 2, 3, 1, 4))
