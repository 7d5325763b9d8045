"""Windows that slide: how much is padded and cropped around them, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def same_pads(
    length: int, kernel: int, stride: int = 1, dilation: int = 1
) -> tuple[int, int]:
    """What TensorFlow's "SAME" adds before and after an axis.

    For length $i$, stride $s$ and dilated kernel $k$ it adds
    $max((ceil(i / s) - 1) s + k - i, 0)$: half of it, rounded down, before.

    >>> same_pads(224, 3, stride=2)
    (0, 1)
    """
    needed = (-(-length // stride) - 1) * stride + _extent(kernel, dilation) - length
    total = max(needed, 0)
    return total // 2, total - total // 2


def causal_pads(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """What `padding="causal"` adds before and after the axis of time."""
    return _extent(kernel, dilation) - 1, 0


def conv_pads(layer: Any, spatial_shape: Sequence[int]) -> list[int]:
    """The pads of a Keras convolution, in ONNX' order: all begins, then all ends.

    Args:
        layer: a convolution, depthwise or separable too; of any padding.
        spatial_shape: sizes of its input without batch and channels.
    """
    return window_pads(
        spatial_shape,
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        layer.padding,
    )


def window_pads(
    spatial_shape: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str,
) -> list[int]:
    """The pads of a window that slides, in ONNX' order: all begins, then all ends.

    Args:
        spatial_shape: sizes of the input without batch and channels.
        kernel, strides, dilations: of the window, one number for each axis.
        padding: "same", "valid" or "causal" of Keras, "same_upper" (which is "same") or
            "same_lower" of ONNX, in any case.
    """
    padding = padding.lower()
    pairs = [(0, 0)] * len(spatial_shape)
    if padding.startswith("same"):
        pairs = list(map(same_pads, spatial_shape, kernel, strides, dilations))
        if padding == "same_lower":
            pairs = [(after, before) for before, after in pairs]
    elif padding == "causal":
        pairs = list(map(causal_pads, kernel, dilations))
    return onnx_order(pairs)


def window_counts(
    sizes: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int] | None = None,
) -> tuple[int | None, ...]:
    """How many windows there are along each axis, None where the size is open.

    Args:
        sizes: of the input without batch and channels.
        kernel, strides, dilations: of the window; not dilated by default.
        pads: in ONNX' order.

    >>> window_counts((224, None), (3, 3), (2, 2), (0, 0, 1, 1))
    (112, None)
    """
    rank, counts = len(sizes), []
    for axis, size in enumerate(sizes):
        if size is None:
            counts.append(None)
            continue
        padded = size + pads[axis] + pads[axis + rank]
        extent = _extent(kernel[axis], dilations[axis] if dilations else 1)
        counts.append((padded - extent) // strides[axis] + 1)
    return tuple(counts)


def transposed_pads(
    layer: Any, spatial_shape: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What a transposed Keras convolution crops, and what it adds after its sums.

    Args:
        layer: a transposed convolution, depthwise too.
        spatial_shape: sizes of its input without batch and channels.

    Returns:
        `pads` in ONNX' order and `output_padding`, as `ConvTranspose` takes them:
        an axis of length i becomes (i - 1) stride + dilated kernel - pads +
        output_padding long.
    """
    pairs, added = [], []
    for axis, length in enumerate(spatial_shape):
        kernel, stride = layer.kernel_size[axis], layer.strides[axis]
        dilation = transposed_dilation(layer)[axis]
        wanted = transposed_length(layer, axis, length)
        # It is the gradient of a convolution that pads an input of that length.
        before = 0
        if layer.padding == "same":
            before, _ = same_pads(wanted, kernel, stride, dilation)
        full = (length - 1) * stride + _extent(kernel, dilation)
        after = full - before - wanted
        pairs.append((before, max(after, 0)))
        added.append(max(-after, 0))
    return onnx_order(pairs), added


def transposed_dilation(layer: Any) -> tuple[int, ...]:
    """The dilation that a transposed Keras convolution computes with.

    In three dimensions it takes a `dilation_rate`, and leaves it out of account.
    """
    return (1, 1, 1) if layer.rank == 3 else tuple(layer.dilation_rate)


def transposed_length(layer: Any, axis: int, length: int) -> int:
    """What a transposed Keras convolution makes of an axis of some length."""
    kernel = _extent(layer.kernel_size[axis], transposed_dilation(layer)[axis])
    stride = layer.strides[axis]
    output_padding = getattr(layer, "output_padding", None)
    if output_padding is None:
        overlap = max(kernel - stride, 0) if layer.padding == "valid" else 0
        return length * stride + overlap
    cropped = 2 * (kernel // 2) if layer.padding == "same" else 0
    return (length - 1) * stride + kernel - cropped + output_padding[axis]


def onnx_order(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Pads `(before, after)` for each axis as ONNX has them.

    >>> onnx_order([(0, 1), (2, 3)])
    [0, 2, 1, 3]
    """
    return [before for before, _ in pairs] + [after for _, after in pairs]


def _extent(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1
