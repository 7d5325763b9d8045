"""Kernels of any few levels: a table, and codes as products of planes that are -1 or +1.

A code of k bits stands for the signs s_1, ..., s_k (bit 0 is +1). Every function of them is a sum
of products, one for each set S of them (Walsh's functions):

    level(code) = sum over S of c_S * prod of s_i, i in S

with c_S = 2^-k * sum over codes of level(code) * prod of s_i. So the sums of a kernel with a table
are sums of binary kernels, whose bits are exclusive ors of the stored ones, and of the input
alone (the empty set).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

from larqlite.onnx_graph._packing import (
    GRID_TOLERANCE,
    PackedKernel,
    relative_error,
    shaped_along,
)
from larqlite_runtime.format import BINARY, pack_codes

MOST_BITS_OF_A_TABLE = 4
# Of the largest coefficient: what float32 leaves of one that is zero.
_NOTHING = 2.0**-23


@dataclasses.dataclass(frozen=True)
class CodebookKernel:
    """A kernel whose values are those of a table.

    Attributes:
        codes: unsigned integers, `(channels_out, ..., channels_in)`.
        bits: of a code.
        table: float64 `(1, 2^bits)`, or one row for each output channel.
        error: the largest difference from the values of the layer, relative to its
            largest value.
    """

    codes: np.ndarray
    bits: int
    table: np.ndarray
    error: float = 0.0
    is_integer = True

    @functools.cached_property
    def _coefficients(self) -> dict[tuple[int, ...], np.ndarray]:
        """For each set of bits its c, float32, one or one for each output channel."""
        found = {}
        for count in range(self.bits + 1):
            for bits in itertools.combinations(range(self.bits), count):
                signs = 1 - 2 * _exclusive_or(np.arange(2**self.bits), bits)
                found[bits] = (self.table * signs).mean(axis=1)
        least = _NOTHING * np.abs(self.table).max(initial=0)
        return {
            bits: (np.where(np.abs(c) > least, c, 0)).astype(np.float32)
            for bits, c in found.items()
            if (np.abs(c) > least).any() or len(bits) == 1
        }

    @property
    def center(self) -> np.ndarray | None:
        """What the input alone is multiplied with; None for 0."""
        return self._coefficients.get(())

    @property
    def parts(self) -> dict[tuple[int, ...], PackedKernel]:
        """A binary kernel for each set of bits that matters, the largest scales first."""
        parts = {
            bits: PackedKernel(
                _exclusive_or(self.codes, bits).astype(np.uint8), *BINARY, scale
            )
            for bits, scale in self._coefficients.items()
            if bits and scale.any()
        }
        return dict(
            sorted(parts.items(), key=lambda item: -np.abs(item[1].scale).max())
        )

    def values(self, dtype: type = np.float32) -> np.ndarray:
        """The kernel as the file's nodes compute it, its terms added in a type."""
        total = sum(part.values().astype(dtype) for part in self.parts.values())
        if self.center is not None:
            center = shaped_along(self.center, 0, self.codes.ndim)
            total = total + center.astype(dtype)
        return total.astype(dtype)

    def packed(self, bit: int) -> np.ndarray:
        """One bit of all codes as a stream in bytes."""
        return pack_codes(self.codes >> bit & 1, 1)


def find_table(values: np.ndarray, bits: int) -> CodebookKernel | None:
    """The table of a kernel's values, or None if there are more than 2^bits.

    Args:
        values: float32, `(channels_out, ..., channels_in)`, finite.
        bits: of a code, 1 to 4.
    """
    if bits > MOST_BITS_OF_A_TABLE:
        return None
    for rows in (values.reshape(1, -1), values.reshape(len(values), -1)):
        tables = [np.unique(row) for row in rows]
        if max(map(len, tables)) > 2**bits:
            continue
        found = [_coded(levels, bits) for levels in tables]
        codes = [
            numbers[np.searchsorted(levels, row)]
            for row, levels, (_, numbers) in zip(rows, tables, found, strict=True)
        ]
        table = np.stack([table for table, _ in found])
        codes = np.stack(codes).reshape(values.shape).astype(np.uint8)
        kernel = CodebookKernel(codes, bits, table)
        # What the stored numbers lose; the order in which sixteen are added is the engine's.
        if relative_error(kernel.values(np.float64), values) <= GRID_TOLERANCE:
            error = relative_error(kernel.values(), values)
            return dataclasses.replace(kernel, error=error)
    return None


def in_table(values: np.ndarray, bits: int, table: np.ndarray) -> CodebookKernel | None:
    """Codes of values in a known table, to the last bit, or None if one is not in it.

    Args:
        values: float32, `(channels_out, ..., channels_in)`.
        bits: of a code, 1 to 4.
        table: float32 `(rows, 2^bits)`, by code; the rows are those of channels out, over
            and over if they are fewer.
    """
    rows = values.reshape(len(values), -1)
    if bits > MOST_BITS_OF_A_TABLE or len(rows) % len(table):
        return None
    each = np.tile(table, (len(rows) // len(table), 1))
    is_level = rows[:, :, None] == each[:, None, :]
    if not is_level.any(axis=2).all():
        return None
    codes = is_level.argmax(axis=2).reshape(values.shape).astype(np.uint8)
    kernel = CodebookKernel(
        codes, bits, (table if len(table) == 1 else each).astype(float)
    )
    return dataclasses.replace(kernel, error=relative_error(kernel.values(), values))


def _coded(levels: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """A table of 2^bits, and the code of each level, so that few products are needed.

    Levels that lie around a center have a bit for the side, and the same others for the
    same distance: then only products with that bit are not zero.
    """
    levels = levels.astype(np.float64)
    sums = levels + levels[::-1]
    is_symmetric = np.ptp(sums) <= _NOTHING * np.abs(levels).max(initial=0)
    half = 2 ** (bits - 1)
    if is_symmetric and len(levels) > 1:
        center, upper = sums.mean() / 2, levels[len(levels) // 2 :]
        distances = np.concatenate([upper, np.repeat(upper[-1:], half - len(upper))])
        distances = distances - center
        table = center + np.concatenate([distances, -distances])
        above = np.arange(len(upper))
        below = half + above[::-1]
        # A level in the middle is its own mirror image.
        return table, np.concatenate([below[: len(levels) - len(upper)], above])
    if bits == 2 and len(levels) == 3:
        # The fourth, which no weight has, is such that the product of both bits is 0.
        low, middle, high = levels
        return np.array([middle, low, high, low + high - middle]), np.array([1, 0, 2])
    table = np.concatenate([levels, np.repeat(levels[-1:], 2**bits - len(levels))])
    return table, np.arange(len(levels))


def _exclusive_or(codes: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    return functools.reduce(
        np.bitwise_xor, (codes >> bit & 1 for bit in bits), 0 * codes
    )
