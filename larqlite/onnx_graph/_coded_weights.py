"""The codes of a few bits that the weights of quantization-aware layers are stored as."""

from __future__ import annotations

import numpy as np

from larqlite.onnx_graph._packing import PackedKernel, find_codes, shaped_along

MOST_BITS = 8


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
    found = None if step is None else _on_grid(array, bits, step)
    return found or find_codes(array, bits, (0, -1))


def _on_grid(values: np.ndarray, bits: int, step: np.ndarray) -> PackedKernel | None:
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
