"""Sizes that come out of convolutions and poolings in quantized ONNX models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from larqlite.errors import UnsupportedModelError

if TYPE_CHECKING:
    from larqlite.integer.onnx.layers._convolution import Convolution

Sizes = tuple[int | None, ...]

__all__ = ["output_shape", "pooled_area", "same_pads", "window_sizes"]


def window_sizes(sizes: Sizes, window, strides, pads, dilations=(1, 1)) -> Sizes:
    """Numbers of windows along height and width; None stays open."""
    found = []
    for axis, size in enumerate(sizes):
        if size is None:
            found.append(None)
            continue
        padded = size + pads[axis] + pads[axis + 2]
        reach = (window[axis] - 1) * dilations[axis] + 1
        found.append((padded - reach) // strides[axis] + 1)
    return tuple(found)


def same_pads(sizes: Sizes, window, strides, dilations, is_upper: bool) -> list[int]:
    """Pads (top, left, bottom, right) of auto_pad SAME_UPPER or SAME_LOWER."""
    begins, ends = [], []
    for axis, size in enumerate(sizes):
        reach = (window[axis] - 1) * dilations[axis] + 1
        count = -(-size // strides[axis])
        total = max((count - 1) * strides[axis] + reach - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if is_upper else large)
        ends.append(large if is_upper else small)
    return begins + ends


def _convolved(layer: Convolution, shape: Sizes) -> Sizes:
    kernel = layer.weights["kernel"]
    attributes = {key: list(layer.attributes[key].ints) for key in ("strides", "pads")}
    dilations = list(layer.attributes["dilations"].ints)
    return window_sizes(shape[2:], kernel.shape[2:], **attributes, dilations=dilations)


def output_shape(layer: Convolution, shape: Sizes) -> Sizes:
    """Sizes of what a layer gives out for an input of sizes `shape`."""
    sizes = _convolved(layer, shape)
    if layer.pool_type == "max":
        keys = ("pool_size", "pool_strides", "pool_pads")
        sizes = window_sizes(sizes, *(list(layer.attributes[k].ints) for k in keys))
    elif layer.pool_type == "gap":
        sizes = (1, 1) if layer.attributes["keepdims"].i else ()
    return (shape[0], len(layer.weights["kernel"]), *sizes)


def pooled_area(layer: Convolution, shape: Sizes) -> int:
    """The number of values that a global average pooling sums.

    Raises:
        UnsupportedModelError: the size of the image is open.
    """
    height, width = _convolved(layer, shape)
    if height is None or width is None:
        raise UnsupportedModelError(
            f'"{layer.name}": the image that its global average pooling sums has no fixed '
            f"size, {shape}, so the scale of the sum is unknown.\n"
            "  Fix: give the model's input a fixed height and width."
        )
    return height * width
