"""Quantizers and layers once more, of int64 and Python integers, term by term."""

import itertools

import numpy as np


def same_padding(length, kernel, stride, dilation):
    extent = (kernel - 1) * dilation + 1
    total = max((-(-length // stride) - 1) * stride + extent - length, 0)
    return total // 2, total - total // 2


def padded(x, kernel, strides, dilations, value=0):
    """`x` with "same" padding of `value`, one number or one per channel."""
    amounts = [
        same_padding(n, k, s, d)
        for n, k, s, d in zip(x.shape[1:-1], kernel, strides, dilations, strict=True)
    ]
    shape = [n + sum(a) for n, a in zip(x.shape[1:-1], amounts, strict=True)]
    result = np.empty((x.shape[0], *shape, x.shape[-1]), np.int64)
    result[...] = value
    inside = [slice(a, a + n) for (a, _), n in zip(amounts, x.shape[1:-1], strict=True)]
    result[(slice(None), *inside)] = x
    return result


def convolution(x, w, strides, padding, dilations, depthwise=False):
    """`(batch, ..., in)` with `(..., in / groups, out)`, or depthwise `(..., in, m)`."""
    x, w = x.astype(np.int64), w.astype(np.int64)
    rank = x.ndim - 2
    if padding == "same":
        x = padded(x, w.shape[:rank], strides, dilations)
    lengths = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(
            x.shape[1:-1], w.shape[:rank], strides, dilations, strict=True
        )
    ]
    groups = 1 if depthwise else x.shape[-1] // w.shape[-2]
    outputs = w.shape[-2] * w.shape[-1] if depthwise else w.shape[-1]
    result = np.zeros((x.shape[0], *lengths, outputs), np.int64)
    for place in itertools.product(*(range(k) for k in w.shape[:rank])):
        window = tuple(
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, d, n, s in zip(place, dilations, lengths, strides, strict=True)
        )
        seen, weights = x[(slice(None), *window)], w[place]
        if depthwise:
            part = seen[..., :, None] * weights
            result += part.reshape(result.shape)
            continue
        width, filters = weights.shape[0], outputs // groups
        for g in range(groups):
            result[..., g * filters : (g + 1) * filters] += (
                seen[..., g * width : (g + 1) * width]
                @ weights[:, g * filters : (g + 1) * filters]
            )
    return result


def transposed(x, w, strides, padding, dilations=(1, 1), depthwise=False):
    """Every element of `x` puts its multiples of the kernel down, and they add up.

    `w` is `(height, width, out, in)`, or depthwise `(height, width, in, m)`.
    """
    x, w = x.astype(np.int64), w.astype(np.int64)
    extents = [(k - 1) * d + 1 for k, d in zip(w.shape[:2], dilations, strict=True)]
    full = [
        (n - 1) * s + e for n, s, e in zip(x.shape[1:3], strides, extents, strict=True)
    ]
    wanted = [
        n * s + (max(e - s, 0) if padding == "valid" else 0)
        for n, s, e in zip(x.shape[1:3], strides, extents, strict=True)
    ]
    size = [max(pair) for pair in zip(full, wanted, strict=True)]
    outputs = w.shape[2] * w.shape[3] if depthwise else w.shape[2]
    result = np.zeros((x.shape[0], *size, outputs), np.int64)
    for i, j in np.ndindex(*w.shape[:2]):
        rows = slice(i * dilations[0], i * dilations[0] + full[0] - extents[0] + 1)
        columns = slice(j * dilations[1], j * dilations[1] + full[1] - extents[1] + 1)
        if depthwise:
            part = (x[..., :, None] * w[i, j]).reshape(*x.shape[:3], outputs)
        else:
            part = x @ w[i, j].T
        result[:, rows, columns][:, :: strides[0], :: strides[1]] += part
    first = [0, 0]
    if padding == "same":
        first = [max(e - s, 0) // 2 for e, s in zip(extents, strides, strict=True)]
    return result[:, first[0] : first[0] + wanted[0], first[1] : first[1] + wanted[1]]


def ceil_log2(x) -> int:
    """By the exponent of the float: no logarithm is rounded."""
    mantissa, exponent = np.frexp(np.float64(x))
    return int(exponent) - (mantissa == 0.5)


def max_frac_bits(value_bits, ranges, clamp=True):
    def one(r):
        if r == 0:
            return value_bits
        bits = value_bits - ceil_log2(r)
        return max(min(bits, value_bits) if clamp else min(bits, 60), -60)

    ranges = np.asarray(ranges)
    return np.array([one(r) for r in ranges.ravel()], np.int64).reshape(ranges.shape)


def weights(w, bitwidth, axis=-1):
    """Codes and float32 scales of a `WeightQuantizer`, operation by operation."""
    w = np.asarray(w, np.float32)
    axes = None
    if axis is not None and w.ndim > 1:
        axes = tuple(i for i in range(w.ndim) if i != axis % w.ndim)
    magnitudes = np.abs(w)
    if bitwidth == 1:
        keep = magnitudes.mean(axes, keepdims=True, dtype=np.float32)
        return np.where(w < 0, -1, 1), np.maximum(keep, np.float32(1e-6))
    top = np.float32(2 ** (bitwidth - 1) - 1)
    keep = magnitudes.max(axes, keepdims=True)
    scales = np.maximum(keep / top, np.float32(1e-6))
    return np.rint(w / scales).astype(np.int64), scales


def bias(b, scales, frac_bits, value_bits=27, bitwidth=8):
    """The integers of an `AlignedWeightQuantizer`."""
    b, scales = np.asarray(b, np.float32), np.asarray(scales, np.float32)
    mantissa = bitwidth - 1
    ranges = np.abs(b).max() / scales
    frac = np.minimum(max_frac_bits(mantissa, ranges), frac_bits)
    codes = np.rint(np.ldexp((b / scales).astype(np.float64), frac))
    codes = np.clip(codes, -(2**mantissa), 2**mantissa - 1).astype(np.int64)
    return saturated(codes << (frac_bits - frac), value_bits)


def saturated(v, value_bits):
    return np.clip(v, -(2**value_bits), 2**value_bits - 1)


def shifted(v: int, shift: int) -> int:
    """`floor(v * 2^shift + 0.5)` of Python integers."""
    if shift >= 0:
        return v << shift
    return (v + (1 << (-shift - 1))) >> -shift


def requantized(v, frac_bits, value_bits, ranges, scales=None, scale_bits=8, buffer=32):
    """The integers and fractional bits of an `OutputQuantizer`, one after another.

    Args:
        v: integers, the channels last.
        frac_bits: of `v`, a number or one per channel.
        value_bits: of the result.
        ranges: a number or one per channel.
        scales: float32, a number or one per channel; None for a FixedPoint.
        scale_bits: of a quantized scale.
        buffer: value bits of the product.
    """
    channels = v.shape[-1]
    target = max_frac_bits(value_bits, ranges)
    source = np.broadcast_to(frac_bits, (channels,)).astype(np.int64)
    factors = np.ones(channels, np.int64)
    if scales is not None:
        scales = np.broadcast_to(np.asarray(scales, np.float32), (channels,))
        exponents = max_frac_bits(scale_bits, scales, clamp=False)
        factors = np.rint(np.ldexp(scales.astype(np.float64), exponents))
        factors = np.clip(factors, 0, 2**scale_bits - 1).astype(np.int64)
        source = source + exponents
    shifts = np.broadcast_to(target, (channels,)) - source
    result = np.empty(v.shape, np.int64)
    for place in np.ndindex(*v.shape):
        c = place[-1]
        product = int(v[place]) * int(factors[c])
        if scales is not None:
            product = max(min(product, 2**buffer - 1), -(2**buffer))
        value = shifted(product, int(shifts[c]))
        result[place] = max(min(value, 2**value_bits - 1), -(2**value_bits))
    return result, target
