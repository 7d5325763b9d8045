"""Layouts: in which order the values of a tensor lie in memory, and images of it.

`NCHW` is the order of the file, `NHWC` that in which its axis 1, the channels of images,
lies innermost; the names stand for tensors of any number of axes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from larqlite_runtime._graph import Shape

NCHW, NHWC = False, True
LAYOUTS = {NCHW: "NCHW", NHWC: "NHWC"}


class StoredTensor(NamedTuple):
    """A tensor in one layout: `NCHW` or `NHWC`."""

    tensor: str
    layout: bool


def key_of(tensor: str, shape: Shape, axis: int) -> StoredTensor:
    """The layout in which `axis` lies innermost; equal layouts have equal keys."""
    last = len(shape) - 1
    if axis == last:
        return StoredTensor(tensor, NCHW)
    same = shape[1] == 1 or math.prod(shape[2:]) == 1
    return StoredTensor(tensor, NCHW if same else NHWC)


def memory_shape(shape: Shape, layout: bool) -> Shape:
    """The sizes in the order of memory."""
    return (shape[0], *shape[2:], shape[1]) if layout == NHWC else shape


def image_of(shape: Shape, axis: int) -> tuple[tuple[int, int, int], int] | None:
    """Depth, height and width of one image, and its channels; None if there are more axes.

    >>> image_of((None, 8, 5, 6), 1)
    ((1, 5, 6), 8)
    >>> image_of((None, 7, 8), 2)
    ((1, 1, 7), 8)
    """
    if shape[0] is not None or not 1 <= axis < len(shape):
        return None
    space = [size for number, size in enumerate(shape[1:], 1) if number != axis]
    if len(space) > 3:
        if axis == 1:
            return None
        space = [*space[:2], math.prod(space[2:])]
    depth, height, width = [1] * (3 - len(space)) + space
    return (depth, height, width), shape[axis]


def channel_axis_like(shape: Shape) -> int:
    """Where the channels are in a tensor that lies in the order of the file."""
    return 1 if math.prod(shape[2:]) == 1 else len(shape) - 1


def per_channel(array: np.ndarray, shape: Shape, axis: int) -> np.ndarray | None:
    """A constant operand as one float32 per channel; None if it varies elsewhere.

    >>> per_channel(np.ones((4, 1, 1), np.float32), (None, 4, 6, 6), 1)
    array([1., 1., 1., 1.], dtype=float32)
    """
    if array.dtype != np.float32 or array.ndim > len(shape):
        return None
    sizes = (1,) * (len(shape) - array.ndim) + array.shape
    channels = shape[axis]
    others = [size for number, size in enumerate(sizes) if number != axis]
    if any(size != 1 for size in others) or sizes[axis] not in (1, channels):
        return None
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (channels,)))


def is_gate(shape: Shape, of: Shape, axis: int) -> bool:
    """Whether a tensor holds one value per image and channel of another."""
    return (
        len(shape) == len(of)
        and shape[0] is None
        and all(
            size == (of[axis] if number == axis else 1)
            for number, size in enumerate(shape[1:], 1)
        )
    )
