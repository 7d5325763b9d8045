"""Stored codes of weights: a stream of bits, and the numbers that codes stand for."""

from __future__ import annotations

import math

import numpy as np

from larqlite_runtime._graph import GraphNode

TERNARY = (2, 1.0, -1.0)
_CODINGS = {"B": (1, -2.0, 1.0), "T": TERNARY}


def coding_of(node: GraphNode) -> tuple[int, float, float]:
    """Bits of a code, step and offset: code c of a node stands for c * step + offset.

    Operations that begin with `B` and `T` (binary, ternary) have one coding; the others
    state theirs.
    """
    if node.op[0] in _CODINGS:
        return _CODINGS[node.op[0]]
    bits, step, offset = (
        node.attributes.get(name, 0) for name in ("bits", "step", "offset")
    )
    return int(bits), float(step), float(offset)


def unpacked_codes(packed: np.ndarray, count: int, bits: int) -> np.ndarray:
    """The first `count` values of a stream of `bits`-bit codes, low bit first.

    >>> unpacked_codes(np.array([0b100100], np.uint8), 3, 2)
    array([0, 1, 2], dtype=uint8)
    """
    stream = np.unpackbits(
        np.ascontiguousarray(packed).reshape(-1), count=count * bits, bitorder="little"
    )
    if bits == 1:
        return stream
    planes = stream.reshape(count, bits)
    return (planes << np.arange(bits, dtype=np.uint8)).sum(1, dtype=np.uint8)


def float_weights(node: GraphNode, packed: np.ndarray) -> np.ndarray:
    """The weights of a packed layer, or what a node `Unpack` makes, as float32."""
    bits, step, offset = coding_of(node)
    shape = tuple(int(size) for size in node.attributes["weight_shape"])
    codes = unpacked_codes(packed, math.prod(shape), bits).astype(np.float32)
    return (codes * np.float32(step) + np.float32(offset)).reshape(shape)
