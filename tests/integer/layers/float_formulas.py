"""What float layers compute, as loops in NumPy and Python's own arithmetic."""

import math

import numpy as np


def convolved(x, kernel, bias, stride, dilation, pad):
    """A "same" convolution in float64, padded with one number per channel."""
    _, h, w, c = x.shape
    kh, kw, _, filters = kernel.shape
    out = [-(-n // stride) for n in (h, w)]
    before = [
        max((o - 1) * stride + (k - 1) * dilation + 1 - n, 0) // 2
        for o, k, n in zip(out, (kh, kw), (h, w), strict=True)
    ]
    result = np.zeros((len(x), *out, filters))
    for b, i, j in np.ndindex(len(x), *out):
        for di, dj in np.ndindex(kh, kw):
            row = i * stride + di * dilation - before[0]
            column = j * stride + dj * dilation - before[1]
            inside = 0 <= row < h and 0 <= column < w
            seen = x[b, row, column] if inside else np.broadcast_to(pad, c)
            result[b, i, j] += seen.astype(float) @ kernel[di, dj].astype(float)
    return result + bias


def by_hand(row):
    """Shiftmax of a list of floats, in Python's own arithmetic."""
    floors = [math.floor(v) for v in row]
    top = max(floors)
    total = sum(2.0 ** (v - top) for v in floors)
    return [2.0 ** (v - top - round(math.log2(total))) for v in floors]
