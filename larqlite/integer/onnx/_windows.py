"""How many windows a convolution or pooling of ONNX has, and what `auto_pad` pads."""

from __future__ import annotations

Sizes = tuple[int | None, ...]

__all__ = ["Sizes", "same_pads", "window_sizes"]


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
