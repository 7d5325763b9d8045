"""Weights of quantization-aware layers: stored as codes of a few bits, unpacked by nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from larqlite.onnx_graph import _packing
from larqlite.onnx_graph._functions import DOMAIN

if TYPE_CHECKING:
    from larqlite.onnx_graph._writer import Writer

MOST_BITS = 8


def coded_weight(
    graph: Writer,
    layer_path: str,
    name: str,
    array: np.ndarray,
    bits: int,
    step: np.ndarray | None,
) -> str | None:
    """The tensor that nodes make of a weight's codes, or None if it does not fit them.

    Args:
        graph: the graph.
        layer_path, name: of the weight.
        array: its values, float32, in the order in which a node takes them.
        bits: of a code.
        step: between two levels: a scalar, or one for each channel; None if not known.
    """
    if array.dtype != np.float32 or bits > MOST_BITS or not np.isfinite(array).all():
        return None
    found = None if step is None else _on_grid(array, bits, step)
    found = found or _packing.find_codes(array, bits, (0, -1))
    if found is None:
        return None
    stored = graph.weight(layer_path, name, found.packed(), bits=bits, count=array.size)
    prefix = f"{layer_path}/{name}"
    tensor = graph.node(
        "Unpack",
        [stored],
        name=f"{prefix}/unpacked",
        domain=DOMAIN,
        weight_shape=list(array.shape),
        bits=found.bits,
        step=float(found.step),
        offset=float(found.offset),
    )
    graph.shapes[tensor] = array.shape
    for op, part, values in (
        ("Mul", "scale", found.scale),
        ("Add", "center", found.center),
    ):
        if values is not None:
            beside = _packing.along(values, found.scale_axis, array.ndim)
            scale = graph.scale(layer_path, f"{name}/{part}", beside)
            tensor = graph.node(op, [tensor, scale], name=f"{prefix}/{op.lower()}")
            graph.shapes[tensor] = array.shape
    return tensor


def _on_grid(
    values: np.ndarray, bits: int, step: np.ndarray
) -> _packing.PackedKernel | None:
    """Codes of values that are whole multiples of a known step, to the last bit."""
    for axis in (0, values.ndim - 1):
        length = values.shape[axis]
        if length % step.size:
            continue
        # Channels of a depthwise kernel are (channels in, multiplier), one step for each
        # multiplier.
        scale = np.tile(step.ravel(), length // step.size) if step.ndim else step
        scale = scale.astype(np.float32).ravel()
        beside = _packing.along(scale, axis, values.ndim)
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
        return _packing.PackedKernel(
            codes.astype(np.uint8), bits, 1, lowest, scale, None, axis
        )
    return None
