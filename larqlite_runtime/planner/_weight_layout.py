"""Windows and weights in the layout of the kernels, whose planes weigh 1, 2, 4...

Planes that weigh the same (ternary values) are told to the kernels as more products of one
plane. Those of weights are an axis of the window whose size was 1 and is now the number of
planes; its taps lie at the same input. Those of inputs are more words of a pixel, or, where
there are groups or the convolution is depthwise, such an axis too, whose taps are the planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import LANES
from larqlite_runtime.format import pack
from larqlite_runtime.planner._bit_tensors import Bits
from larqlite_runtime.planner._window import Triple
from larqlite_runtime.planner.producers import Packed


@dataclass(frozen=True)
class WeightLayout:
    """Fields of a step that sums products of bits."""

    kernel: Triple
    tap: Triple
    groups: int
    words: int
    input_planes: int
    weight_planes: int
    weights: np.ndarray


def free_axes_needed(packed: Packed) -> int:
    """Axes of one tap that planes of equal weight take."""
    beside = packed.codebook.type.has_equal_planes and (
        packed.groups > 1 or packed.is_depthwise
    )
    return int(packed.weights.equal) + int(beside)


def has_layout(packed: Packed) -> bool:
    """Whether the kernels can run a packed node."""
    return packed.window.kernel.count(1) >= free_axes_needed(packed)


def layout_of(packed: Packed, bits: Bits) -> WeightLayout:
    """The window and the weights of a packed node that reads bits laid out as given."""
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
