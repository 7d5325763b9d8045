"""Stored codes of weights: as whole numbers, and as planes of bits that are +1 or -1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import (
    PACKED_LAYERS,
    TERNARY,
    grid_of,
    unpack_codes,
)

# Of a weight: what sums of bytes hold, and codes times it.
_LARGEST = 1 << 14


@dataclass(frozen=True)
class Weights:
    """Weights w with 2^halved w = the sum of their planes, if they have some.

    Attributes:
        shape: out, depth, height, width, in.
        stream, bits, step, offset: as stored.
        count: of planes, or of bits of a code.
        has_planes: whether they are sums of planes of +1 and -1.
        equal: whether all planes weigh 1; else plane p weighs 2^p.
        halved: as in the formula.
        flipped: whether windows are turned around, as transposed convolutions need it.
        sums: of the weights of each tap, int64 (out, depth, height, width).
        magnitudes: sum of the weights' absolute values, int64 (out,).
    """

    shape: tuple[int, ...]
    stream: np.ndarray
    bits: int
    step: float
    offset: float
    count: int
    has_planes: bool
    equal: bool
    halved: int
    flipped: bool
    sums: np.ndarray
    magnitudes: np.ndarray

    @property
    def weight(self) -> int:
        """What all planes weigh together."""
        return self.count if self.equal else (1 << self.count) - 1

    @property
    def size(self) -> int:
        """How many weights there are."""
        return math.prod(self.shape)

    @property
    def stored_bits(self) -> int:
        """Bits of a code where they are 1, 2, 4 or 8."""
        return 1 << (self.bits - 1).bit_length()

    def whole(self) -> np.ndarray:
        """The weights, int32 (*shape)."""
        codes = self.codes().astype(np.int32)
        return codes * np.int32(self.step) + np.int32(self.offset)

    def codes(self) -> np.ndarray:
        """The stored codes, uint8 (*shape)."""
        codes = unpack_codes(self.stream, self.size, self.bits).reshape(self.shape)
        return codes[:, ::-1, ::-1, ::-1] if self.flipped else codes

    def planes(self) -> np.ndarray:
        """Booleans (planes, *shape): whether the plane is -1."""
        codes = self.codes()
        if self.equal:
            planes = np.stack([codes < 1, codes < 2])
        else:
            planes = np.stack([codes >> plane & 1 for plane in range(self.bits)])
            planes = planes.view(bool) if self.step < 0 else planes == 0
        return planes


def weights_of(
    node: GraphNode, stream: np.ndarray, shape: tuple[int, ...]
) -> Weights | None:
    """The weights of a packed node; None if they are no small whole numbers.

    Args:
        node: a packed node.
        stream: its stored codes.
        shape: out, depth, height, width, in.
    """
    bits, step, offset = grid_of(node)
    if not 1 <= bits <= 8:
        return None
    last = (1 << bits) - 1
    if not (float(step).is_integer() and float(offset).is_integer() and step):
        return None
    largest = abs(step) * last + abs(offset)
    if largest > _LARGEST:
        return None
    codes = unpack_codes(stream, math.prod(shape), bits).reshape(shape)
    is_ternary = (bits, step, offset) == TERNARY and codes.max() <= last - 1
    whole = codes.astype(np.int8 if largest < 128 else np.int16)
    whole = whole * whole.dtype.type(step) + whole.dtype.type(offset)
    flipped = PACKED_LAYERS[node.op].family == "ConvTranspose"
    sums = whole.sum(-1, dtype=np.int64)
    return Weights(
        shape=shape,
        stream=stream,
        bits=bits,
        step=step,
        offset=offset,
        count=bits,
        has_planes=is_ternary or (abs(step) == 2 and offset == -step / 2 * last),
        equal=is_ternary,
        halved=int(is_ternary),
        flipped=flipped,
        sums=sums[:, ::-1, ::-1, ::-1] if flipped else sums,
        magnitudes=np.abs(whole).sum((1, 2, 3, 4), dtype=np.int64),
    )
