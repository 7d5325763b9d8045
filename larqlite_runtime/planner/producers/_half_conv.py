"""Float convolutions whose numbers have 16 bits: bfloat16, or pixels and whole weights."""

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
        codes: int16 weights `(out, in, *window)`; with 255 for every pixel, no sum leaves
            int32, its start included.
        scale: float32, of each output channel.
        starts: int32 (row classes, column classes, out), what the offset adds.
        of_row, of_column: the class of each position, None where there is one class.
    """

    codes: np.ndarray
    scale: np.ndarray
    starts: np.ndarray
    of_row: np.ndarray | None
    of_column: np.ndarray | None


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
