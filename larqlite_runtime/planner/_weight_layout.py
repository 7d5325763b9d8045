"""Windows and weights in the layout of the kernels, whose planes weigh 1, 2, 4...

Planes that weigh the same (ternary values) are told to the kernels as more products of one
plane. Those of weights are an axis of the window whose size was 1 and is now the number of
planes; its taps lie at the same input. Those of inputs are more words of a pixel, or, where
there are groups or the convolution is depthwise, such an axis too, whose taps are the planes.

Weights that are multiplied with codes are codes of 1, 2, 4 or 8 bits themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import (
    CODE_BLOCKS,
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
)
from larqlite_runtime.format import pack
from larqlite_runtime.planner._bit_tensors import Bits
from larqlite_runtime.planner._window import Triple
from larqlite_runtime.planner.producers import Packed, SumForm


@dataclass(frozen=True)
class WeightLayout:
    """Fields of a step that sums products of bits or codes."""

    kernel: Triple
    tap: Triple
    groups: int
    words: int
    input_planes: int
    weight_planes: int
    weights: np.ndarray
    weight_bits: int = 0
    weight_step: int = 0
    weight_offset: int = 0


def layout_of(packed: Packed, bits: Bits) -> WeightLayout:
    """The window and the weights of a packed node that reads bits laid out as given."""
    if packed.takes_codes:
        return _layout_of_codes(packed, bits)
    kernel, tap = list(packed.window.kernel), list(bits.padded.taps(packed.window))
    planes = packed.weights.planes()  # (plane, out, depth, height, width, in)
    free = [axis for axis in range(3) if kernel[axis] == 1]
    if packed.weights.equal:
        axis = free.pop(0)
        kernel[axis], tap[axis] = len(planes), 0
        planes = np.moveaxis(planes, 0, 1 + axis)
        planes = planes.reshape(1, packed.out_channels, *kernel, -1)
    groups = 1 if packed.is_depthwise else packed.groups
    input_planes, copies = packed.codebook.type.bits, 1
    if packed.codebook.type.has_equal_planes and packed.groups == 1:
        input_planes, copies = 1, input_planes
    elif packed.codebook.type.has_equal_planes:
        axis = free.pop(0)
        kernel[axis], tap[axis] = input_planes, bits.plane_words
        planes = np.repeat(planes, input_planes, axis=2 + axis)
        input_planes = 1
    return WeightLayout(
        kernel=tuple(kernel),
        tap=tuple(tap),
        groups=groups,
        words=copies * bits.plane_words // groups,
        input_planes=input_planes,
        weight_planes=len(planes),
        weights=_depthwise(packed, planes)
        if packed.is_depthwise
        else _blocks(packed, planes, copies),
    )


def _depthwise(packed: Packed, planes: np.ndarray) -> np.ndarray:
    """(multiplier, plane, tap, word)."""
    multiplier = packed.out_channels // packed.in_channels
    bits = planes.reshape(len(planes), packed.in_channels, multiplier, -1)
    return pack(bits.transpose(2, 0, 3, 1))


def _blocks(packed: Packed, planes: np.ndarray, copies: int) -> np.ndarray:
    """(group, block, plane, tap, word, lane)."""
    each = packed.out_channels // packed.groups
    blocks = -(-each // LANES)
    words = pack(planes.reshape(len(planes), packed.out_channels, -1, planes.shape[-1]))
    words = np.concatenate([words] * copies, -1)  # (plane, out, tap, word)
    shape = (len(planes), packed.groups, each, *words.shape[2:])
    padded = np.zeros((*shape[:2], blocks * LANES, *shape[3:]), np.uint32)
    padded[:, :, :each] = words.reshape(shape)
    padded = padded.reshape(*shape[:2], blocks, LANES, *shape[3:])
    return np.ascontiguousarray(padded.transpose(1, 2, 0, 4, 5, 3))


def _layout_of_codes(packed: Packed, bits: Bits) -> WeightLayout:
    groups = 1 if packed.is_depthwise else packed.groups
    weights = packed.weights
    return WeightLayout(
        kernel=packed.window.kernel,
        tap=bits.padded.taps(packed.window),
        groups=groups,
        words=bits.plane_words // groups,
        input_planes=1,
        weight_planes=1,
        weights=_numbers(packed, bits.plane_words // groups),
        weight_bits=weights.stored_bits,
        weight_step=int(weights.step) * packed.codebook.type.apart,
        weight_offset=int(weights.offset) * packed.codebook.type.apart,
    )


def _numbers(packed: Packed, words: int) -> np.ndarray:
    if packed.is_depthwise:
        return _depthwise_numbers(packed)
    if packed.form is SumForm.LOOKUPS:
        return _lookup_blocks(packed, words)
    return _code_blocks(packed, words)


def _depthwise_numbers(packed: Packed) -> np.ndarray:
    """(multiplier, tap, channel)."""
    multiplier = packed.out_channels // packed.in_channels
    whole = packed.weights.whole().reshape(packed.in_channels, multiplier, -1)
    whole = whole * np.int32(packed.codebook.type.apart)
    return np.ascontiguousarray(whole.transpose(1, 2, 0))


def _code_blocks(packed: Packed, words: int) -> np.ndarray:
    """(group, blocks side by side, tap, word, block, lane): flat, since the last may be fewer.

    Byte b of a word has the codes of channel 4 k + b of the input for as many words k of
    codes, which follow one another, as fit.
    """
    bits, each = packed.weights.stored_bits, packed.out_channels // packed.groups
    together, blocks = 8 // bits, -(-each // LANES)
    codes = packed.weights.codes()
    channels = codes.shape[-1]
    codes = codes.reshape(packed.groups, each, -1, channels)
    vectors = -(-words // together)
    whole = np.zeros(
        (packed.groups, blocks * LANES, codes.shape[2], vectors * together * 4),
        np.uint8,
    )
    whole[:, :each, :, :channels] = codes
    whole = whole.reshape(*whole.shape[:3], vectors, together, 4)
    shifts = (bits * np.arange(together, dtype=np.uint8))[:, None]
    packed_bytes = np.bitwise_or.reduce(whole << shifts, axis=-2)
    lanes = np.ascontiguousarray(packed_bytes).view("<u4")[..., 0]
    lanes = lanes.reshape(packed.groups, blocks, LANES, *lanes.shape[2:])
    lanes = lanes.transpose(0, 3, 4, 1, 2)  # (group, tap, word, block, lane)
    return _side_by_side(lanes)


def _lookup_blocks(packed: Packed, words: int) -> np.ndarray:
    """(blocks side by side, tap, 15 codes, block, lane), uint16, flat: bit k is of code k."""
    blocks, vectors = (
        -(-packed.out_channels // LOOKUP_LANES),
        -(-4 * words // LOOKUP_BYTES),
    )
    codes = packed.weights.codes()
    codes = codes.reshape(packed.out_channels, -1, codes.shape[-1])
    whole = np.zeros(
        (blocks * LOOKUP_LANES, codes.shape[1], vectors * LOOKUP_BYTES), np.uint8
    )
    whole[: packed.out_channels, :, : codes.shape[-1]] = codes
    whole = whole.reshape(blocks, LOOKUP_LANES, -1, vectors, LOOKUP_BYTES)
    lanes = np.packbits(whole, axis=-1, bitorder="little").view("<u2")[..., 0]
    return _side_by_side(lanes.transpose(2, 3, 0, 1)[None])


def _side_by_side(lanes: np.ndarray) -> np.ndarray:
    """(group, tap, word, block, lane) with some blocks side by side, flat."""
    groups, *_, blocks, _ = lanes.shape
    parts = [
        lanes[..., first : first + CODE_BLOCKS, :].reshape(groups, -1)
        for first in range(0, blocks, CODE_BLOCKS)
    ]
    return np.concatenate(parts, 1).reshape(-1)
