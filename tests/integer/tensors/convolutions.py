"""Convolutions of integers of any size, written out as loops over the kernel."""

from itertools import product

import numpy as np


def _spread(value, rank: int) -> tuple:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _padded(x, sizes, strides, padding: str):
    """Zeros around as TensorFlow puts them, and the size of the output."""
    if padding == "VALID":
        spatial = zip(x.shape[1:-1], sizes, strides, strict=True)
        return x, [(n - k) // s + 1 for n, k, s in spatial]
    out = [-(-n // s) for n, s in zip(x.shape[1:-1], strides, strict=True)]
    spatial = zip(x.shape[1:-1], sizes, strides, out, strict=True)
    total = [max((o - 1) * s + k - n, 0) for n, k, s, o in spatial]
    spatial = [n + t for n, t in zip(x.shape[1:-1], total, strict=True)]
    # Not `np.pad`, whose zeros are no Python integers.
    padded = np.zeros((len(x), *spatial, x.shape[-1]), x.dtype)
    inside = [
        slice(t // 2, t // 2 + n) for n, t in zip(x.shape[1:-1], total, strict=True)
    ]
    padded[(slice(None), *inside)] = x
    return padded, out


def convolved(x, w, strides, padding: str, dilations):
    """`x` `(batch, ..., in)` with `w` `(..., in, out)`, any number of dimensions."""
    rank = w.ndim - 2
    strides, dilations = _spread(strides, rank), _spread(dilations, rank)
    sizes = [(k - 1) * d + 1 for k, d in zip(w.shape, dilations, strict=False)]
    x, out = _padded(x, sizes, strides, padding)
    total = 0
    for place in product(*(range(k) for k in w.shape[:-2])):
        windows = tuple(
            slice(p * d, p * d + (o - 1) * s + 1, s)
            for p, d, o, s in zip(place, dilations, out, strides, strict=True)
        )
        total = total + x[(slice(None), *windows)] @ w[place]
    return total


def depthwise_convolved(x, w, strides, padding: str):
    """`x` `(batch, h, w, in)` with `w` `(h, w, in, m)`: outputs of a channel are together."""
    channels = [
        convolved(x[..., c : c + 1], w[:, :, c : c + 1], strides, padding, 1)
        for c in range(x.shape[-1])
    ]
    return np.concatenate(channels, axis=-1)


def transpose_convolved(x, w, strides, padding: str):
    """`x` `(batch, h, w, in)` with `w` `(h, w, out, in)`: every input spreads the kernel."""
    batch, height, width, _ = x.shape
    rows, columns, channels, _ = w.shape
    full = (
        (height - 1) * strides[0] + max(rows, strides[0]),
        (width - 1) * strides[1] + max(columns, strides[1]),
    )
    total = np.zeros((batch, *full, channels), x.dtype)
    for i, j in product(range(rows), range(columns)):
        last = i + (height - 1) * strides[0] + 1, j + (width - 1) * strides[1] + 1
        total[:, i : last[0] : strides[0], j : last[1] : strides[1]] += np.dot(
            x, w[i, j].T
        )
    if padding == "VALID":
        return total
    sizes = height * strides[0], width * strides[1]
    before = [max(k - s, 0) // 2 for k, s in zip((rows, columns), strides, strict=True)]
    return total[:, before[0] : before[0] + sizes[0], before[1] : before[1] + sizes[1]]
