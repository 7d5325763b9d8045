"""Kernels as codes of a few bits, and codes as bytes.

A kernel is taken by its values, whatever quantizer they come from. It fits if integers,
times one scale for each channel, give the same float32 numbers.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from larqlite.primitives import shape_along
from larqlite_runtime.format import BINARY, MOST_BITS, TERNARY, pack_codes

# Relative to the largest value (two of its units in the last place): what a quantizer may
# lose that computes its levels in several float32 steps, as DoReFa's does.
GRID_TOLERANCE = 2.0**-22


@dataclasses.dataclass(frozen=True)
class PackedKernel:
    """A kernel `scale * (step * code + offset) + center`.

    Attributes:
        codes: unsigned integers, `(channels_out, ..., channels_in)`.
        bits: of a code.
        step, offset: what makes integers of codes.
        scale: float32, one value or one for each channel along `scale_axis`; None
            stands for 1.
        center: likewise; None stands for 0.
        scale_axis: 0 (channels out) or -1 (channels in).
        error: the largest difference from the values of the layer, relative to its
            largest value; 0.0 if they are equal bit for bit.
    """

    codes: np.ndarray
    bits: int
    step: int
    offset: int
    scale: np.ndarray | None = None
    center: np.ndarray | None = None
    scale_axis: int = 0
    error: float = 0.0

    @property
    def integers(self) -> np.ndarray:
        """`step * code + offset`, int64."""
        return self.step * self.codes.astype(np.int64) + self.offset

    @property
    def is_integer(self) -> bool:
        """Whether sums over the kernel are integers, scaled and moved by output channel."""
        return self.scale_axis == 0 or all(
            part is None or part.size == 1 for part in (self.scale, self.center)
        )

    @property
    def parts(self) -> dict[tuple[int, ...], PackedKernel]:
        """The kernels of its packed nodes, by the numbers of the streams that they read."""
        return {(0,): dataclasses.replace(self, center=None)}

    @property
    def kind(self) -> str:
        """The letter of its nodes: binary, ternary, or any other grid."""
        grid = (self.bits, self.step, self.offset)
        if grid == BINARY:
            return "B"
        return "T" if grid == TERNARY and self.codes.max(initial=0) <= 2 else "Q"

    def values(self) -> np.ndarray:
        """The kernel as the file's nodes compute it, float32."""
        values = self.integers.astype(np.float32)
        for part, operation in ((self.scale, np.multiply), (self.center, np.add)):
            if part is not None:
                values = operation(
                    values, shaped_along(part, self.scale_axis, values.ndim)
                )
        return values

    def packed(self) -> np.ndarray:
        """The codes as a little-endian stream of bits, uint8."""
        return pack_codes(self.codes, self.bits)


def shaped_along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """One value, or one for each entry of an axis, shaped to be combined with a tensor."""
    return values.reshape(shape_along(rank, axis))


def find_codes(
    values: np.ndarray, bits: int, scale_axes: tuple[int, ...] = (0,)
) -> PackedKernel | None:
    """The codes of a kernel's values, or None if they do not fit.

    Args:
        values: float32, `(channels_out, ..., channels_in)`, finite.
        bits: of a code, 1 to 8.
        scale_axes: along which the kernel may have scales: 0 (channels out), -1
            (channels in).
    """
    values = np.asarray(values, np.float32)
    for find in _FINDERS[min(bits, 3)]:
        for axis in scale_axes:
            found = find(values, bits, axis)
            if found is not None:
                return found
    return None


def _binary(values: np.ndarray, bits: int, axis: int) -> PackedKernel | None:
    """Every channel is -s and +s."""
    rows = _rows(values, axis)
    scale = np.abs(rows[:, :1])
    if (np.abs(rows) != scale).any():
        return None
    return PackedKernel(
        np.signbit(values).astype(np.uint8), *BINARY, _scale(scale), None, axis
    )


def _ternary(values: np.ndarray, bits: int, axis: int) -> PackedKernel | None:
    """Every channel is -s, 0 and +s."""
    magnitudes = np.abs(_rows(values, axis))
    scale = magnitudes.max(axis=1, keepdims=True)
    if ((magnitudes != scale) & (magnitudes != 0)).any():
        return None
    codes = (np.sign(values) + 1).astype(np.uint8)
    # A channel of zeros needs no scale of its own.
    scale = np.where(scale == 0, scale.max(), scale)
    return PackedKernel(codes, *TERNARY, _scale(scale), None, axis)


def _step(values: np.ndarray, bits: int, axis: int) -> PackedKernel | None:
    """Every channel is 0 and s."""
    rows = _rows(values, axis)
    highest, lowest = rows.max(axis=1, keepdims=True), rows.min(axis=1, keepdims=True)
    scale = np.where(highest > 0, highest, lowest)
    if ((rows != scale) & (rows != 0)).any():
        return None
    codes = (values != 0).astype(np.uint8)
    scale = np.where(scale == 0, np.abs(scale).max(), scale)
    return PackedKernel(codes, 1, 1, 0, _scale(scale), None, axis)


def _two_levels(values: np.ndarray, bits: int, axis: int) -> PackedKernel | None:
    """Every channel is center - distance and center + distance."""
    rows = _rows(values, axis)
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    if ((rows != low) & (rows != high)).any():
        return None
    center, distance = _center_and_distance(low.ravel(), high.ravel())
    is_low = _unrows(rows == low, values.shape, axis)
    constant = _unrows((low == high) | np.zeros_like(rows, bool), values.shape, axis)
    codes = (is_low & ~constant).astype(np.uint8)
    found = PackedKernel(codes, *BINARY, distance, center, axis)
    return dataclasses.replace(found, error=relative_error(found.values(), values))


def _grid(values: np.ndarray, bits: int, axis: int) -> PackedKernel | None:
    """Integers of some bits times a scale, of the tensor or of each channel."""
    for rows in (values.reshape(1, -1), _rows(values, axis)):
        scale = np.array([[_row_scale(row, bits)] for row in rows], np.float32)
        integers = np.rint(rows.astype(np.float64) / scale).astype(np.int64)
        codes = _codes_of(integers, bits)
        if codes is None:
            continue
        codes, step, offset = codes
        per_channel = len(scale) > 1
        codes = _unrows(codes, values.shape, axis) if per_channel else codes
        found = PackedKernel(
            codes.reshape(values.shape), bits, step, offset, _scale(scale), None, axis
        )
        error = relative_error(found.values(), values)
        if error <= GRID_TOLERANCE:
            return dataclasses.replace(found, error=error)
    return None


_FINDERS = {
    1: (_binary, _step, _two_levels),
    2: (_ternary, _grid),
    3: (_grid,),
}


def _row_scale(row: np.ndarray, bits: int) -> float:
    """The largest number of which all values are about an integer multiple."""
    levels = np.unique(np.abs(row.astype(np.float64)))
    levels = levels[levels > 0]
    if not levels.size:
        return 1.0
    if len(levels) > 2**bits:
        return float(levels[-1])
    # Which integers could the largest value, which is the most exact one, stand for?
    largest = np.arange(1, 2**bits)
    multiples = levels * largest[:, None] / levels[-1]
    off = np.abs(multiples - np.rint(multiples)).max(axis=1)
    fits = off <= 4 * GRID_TOLERANCE * largest
    # Every level was rounded for itself: of the scales that they tell, one may give all of
    # them bit for bit.
    integers = np.rint(multiples[fits.argmax()]).astype(np.float32)
    scales = (levels / np.maximum(integers, 1)).astype(np.float32)
    is_exact = (scales[:, None] * integers == levels).all(axis=1)
    return float(scales[is_exact.argmax()] if is_exact.any() else scales[-1])


def _codes_of(integers: np.ndarray, bits: int) -> tuple[np.ndarray, int, int] | None:
    """Codes, step and offset of integers, if they fit: an odd grid, or a whole one."""
    most = 2**bits - 1
    lowest, highest = integers.min(), integers.max()
    if (integers % 2 == 1).all() and max(-lowest, highest) <= most:
        return ((integers + most) // 2).astype(np.uint8), 2, -most
    half = 2 ** (bits - 1)
    for offset in (-half, 0, int(lowest)):
        if offset <= lowest and highest - offset <= most:
            return (integers - offset).astype(np.uint8), 1, offset
    return None


def _center_and_distance(
    low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 numbers whose difference and sum round to `low` and `high`."""
    wide_low, wide_high = low.astype(np.float64), high.astype(np.float64)
    center = ((wide_low + wide_high) / 2).astype(np.float32)
    distance = ((wide_high - wide_low) / 2).astype(np.float32)
    best_center, best_distance = center.copy(), distance.copy()
    is_open = (center + distance != high) | (center - distance != low)
    for moved_center in _neighbours(center):
        for moved_distance in _neighbours(distance):
            fits = (moved_center + moved_distance == high) & (
                moved_center - moved_distance == low
            )
            chosen = is_open & fits
            best_center[chosen] = moved_center[chosen]
            best_distance[chosen] = moved_distance[chosen]
            is_open &= ~fits
    return best_center, best_distance


def _neighbours(values: np.ndarray) -> list[np.ndarray]:
    up, down = np.float32(np.inf), np.float32(-np.inf)
    after, before = np.nextafter(values, up), np.nextafter(values, down)
    return [values, after, before, np.nextafter(after, up), np.nextafter(before, down)]


def _rows(values: np.ndarray, axis: int) -> np.ndarray:
    """One row for each channel."""
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _unrows(rows: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    moved = (shape[axis], *np.delete(shape, axis))
    return np.moveaxis(rows.reshape(moved), 0, axis)


def _scale(scale: np.ndarray) -> np.ndarray | None:
    """A scale as it is stored: None for 1, one value if all channels share it."""
    scale = scale.astype(np.float32).ravel()
    if (scale == scale[0]).all():
        scale = scale[:1]
        return None if scale[0] == 1 else scale
    return scale


def relative_error(found: np.ndarray, values: np.ndarray) -> float:
    """The largest difference, relative to the largest of `values`."""
    if (found == values).all():
        return 0.0
    largest = max(float(np.abs(values).max()), np.finfo(np.float32).tiny)
    return float(np.abs(found.astype(np.float64) - values).max() / largest)


def codes_of(
    array: np.ndarray, bits: int, step: np.ndarray | None
) -> PackedKernel | None:
    """Codes that stand for the values of a weight, or None if they do not fit them.

    Args:
        array: the values, float32, in the order in which a node takes them.
        bits: of a code.
        step: between two levels: a scalar, or one for each channel; None if not known.
    """
    if array.dtype != np.float32 or bits > MOST_BITS or not np.isfinite(array).all():
        return None
    found = None if step is None else on_grid(array, bits, step)
    return found or find_codes(array, bits, (0, -1))


def on_grid(values: np.ndarray, bits: int, step: np.ndarray) -> PackedKernel | None:
    """Codes of values that are whole multiples of a known step, to the last bit."""
    for axis in (0, values.ndim - 1):
        length = values.shape[axis]
        if length % step.size:
            continue
        # Channels of a depthwise kernel are (channels in, multiplier), one step for each
        # multiplier.
        scale = np.tile(step.ravel(), length // step.size) if step.ndim else step
        scale = scale.astype(np.float32).ravel()
        beside = shaped_along(scale, axis, values.ndim)
        integers = np.rint(values.astype(np.float64) / beside).astype(np.int64)
        if (integers.astype(np.float32) * beside != values).any():
            continue
        lowest = -(2 ** (bits - 1))
        if integers.min(initial=0) < lowest:
            lowest = int(integers.min())
        elif integers.max(initial=0) > lowest + 2**bits - 1:
            lowest = int(integers.max()) - (2**bits - 1)
        codes = integers - lowest
        if codes.min(initial=0) < 0 or codes.max(initial=0) > 2**bits - 1:
            continue
        axis = 0 if axis == 0 else -1
        return PackedKernel(codes.astype(np.uint8), bits, 1, lowest, scale, None, axis)
    return None
