"""Functions, sums, products and moves of quantized ONNX models in NumPy, in integers."""

import numpy as np


def saturated(exact, kind):
    highest = 2**15 if "To16" in kind else 2**7
    return np.clip(exact, -highest, highest - 1).astype(np.int64)


def scaled(total, multiplier, shift):
    """floor(total * multiplier / 2^shift + 1/2), in Python's integers."""
    shift = shift.astype(object)
    total = total.astype(object) * multiplier.astype(object)
    return (2 * total + (1 << shift)) >> (shift + 1)


def function(kind, inputs, weights, attributes):
    rows = weights.get("rows", np.int64(0))
    if "From16" not in kind:
        return weights["table"].astype(np.int64)[inputs[0] + 128 + rows]
    place, rest = np.divmod(inputs[0] + 2**15, 64)
    table = weights["T"].astype(np.int64)
    start, end = table[place + rows], table[place + rows + 1]
    line = 64 * start + (end - start) * rest
    return saturated(scaled(line, weights["M"], weights["S_out"]), kind)


def total(kind, inputs, weights, attributes):
    terms = [
        x.astype(object) * weights[f"m{i}"].astype(object)
        for i, x in enumerate(inputs, 1)
    ]
    exact = scaled(sum(terms), np.int64(1), weights["S_out"])
    exact = np.maximum(exact, 0) if "ReLU" in kind else exact
    return saturated(exact, kind)


def product(kind, inputs, weights, attributes):
    exact = scaled(inputs[0] * inputs[1], weights["M"], weights["S_out"])
    exact = np.maximum(exact, 0) if "ReLU" in kind else exact
    return saturated(exact, kind)


def joined(kind, inputs, weights, attributes):
    if "Rescaled" in kind:
        inputs = [
            saturated(scaled(x, weights[f"m{i}"], weights[f"s{i}"]), kind)
            for i, x in enumerate(inputs, 1)
        ]
    return np.concatenate(inputs, axis=attributes["axis"])


def mean(kind, inputs, weights, attributes):
    """The nearest integer to sum * M / (n * 2^S), halves up, by exact division."""
    (x,) = inputs
    axes = tuple(range(2, x.ndim))
    sums = x.sum(axis=axes, keepdims=bool(attributes["keepdims"])).astype(object)
    count = int(np.prod(x.shape[2:]))
    power = 1 << weights["S_out"].astype(object)
    multiplier = weights["M"].astype(object)
    exact = (2 * sums * multiplier + count * power) // (2 * count * power)
    return saturated(exact, kind)


def transposed(kind, inputs, weights, attributes):
    return inputs[0].transpose(attributes["perm"])


def reshaped(kind, inputs, weights, attributes):
    (x,) = inputs
    if "size" in weights:
        size = [x.shape[i] if n == 0 else int(n) for i, n in enumerate(weights["size"])]
        return x.reshape(size)
    if "Flatten" in kind:
        return x.reshape(int(np.prod(x.shape[: attributes["axis"]])), -1)
    if "Unsqueeze" in kind:
        return np.expand_dims(x, tuple(int(axis) for axis in weights["axes"]))
    if "Squeeze" in kind:
        return np.squeeze(x, tuple(int(axis) for axis in weights["axes"]))
    return x


def sliced(kind, inputs, weights, attributes):
    at = [slice(None)] * inputs[0].ndim
    keys = ("starts", "ends", "axes", "steps")
    for start, end, axis, step in zip(*(weights[key] for key in keys), strict=True):
        at[axis] = slice(start, end, step)
    return inputs[0][tuple(at)]


def padded(kind, inputs, weights, attributes):
    amounts = weights["amounts"].reshape(2, -1).T
    modes = {b"constant": "constant", b"edge": "edge", b"reflect": "reflect"}
    return np.pad(inputs[0], amounts, mode=modes[attributes["mode"]])


def resized(kind, inputs, weights, attributes):
    """The nearest pixel, by the formulas of the ONNX specification."""
    (x,) = inputs
    scales = weights.get("scales")
    sizes = weights.get("sizes")
    if sizes is None:
        sizes = [int(n * s) for n, s in zip(x.shape, scales, strict=True)]
    else:
        scales = [new / old for new, old in zip(sizes, x.shape, strict=True)]
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        at = np.arange(size)
        where = at / scale
        if attributes["coordinate_transformation_mode"] == b"half_pixel":
            where = (at + 0.5) / scale - 0.5
        near = attributes["nearest_mode"]
        nearest = np.floor(where) if near == b"floor" else np.ceil(where - 0.5)
        x = np.take(x, np.clip(nearest, 0, x.shape[axis] - 1).astype(int), axis=axis)
    return x


def largest(kind, inputs, weights, attributes):
    (x,) = inputs
    if "Global" in kind:
        return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)
    keys = ("kernel_shape", "strides", "pads")
    window, strides, pads = (attributes[key] for key in keys)
    axes = len(window)
    around = [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)]
    x = np.pad(x, around, constant_values=np.iinfo(np.int64).min)
    windows = np.lib.stride_tricks.sliding_window_view(
        x, window, tuple(range(2, x.ndim))
    )
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return windows[steps].max(axis=tuple(range(-axes, 0)))


def to_space(kind, inputs, weights, attributes):
    (x,), size = inputs, attributes["blocksize"]
    n, channels, height, width = x.shape
    if "SpaceToDepth" in kind:
        x = x.reshape(n, channels, height // size, size, width // size, size)
        return x.transpose(0, 3, 5, 1, 2, 4).reshape(
            n, channels * size**2, height // size, width // size
        )
    rest = channels // size**2
    if attributes["mode"] == b"CRD":
        x = x.reshape(n, rest, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
    else:
        x = x.reshape(n, size, size, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
    return x.reshape(n, rest, height * size, width * size)


def spread(x, kernel, strides, pads, dilations, group, more):
    """What a transposed convolution sums: each pixel times the kernel, where it falls."""
    n, channels, height, width = x.shape
    _, per_group, kh, kw = kernel.shape
    rows = (height - 1) * strides[0] + (kh - 1) * dilations[0] + 1 + more[0]
    columns = (width - 1) * strides[1] + (kw - 1) * dilations[1] + 1 + more[1]
    out = np.zeros((n, per_group * group, rows, columns), np.int64)
    for c in range(channels):
        first = c // (channels // group) * per_group
        for i in range(kh):
            for j in range(kw):
                a, b = i * dilations[0], j * dilations[1]
                part = out[
                    :,
                    first : first + per_group,
                    a : a + (height - 1) * strides[0] + 1 : strides[0],
                    b : b + (width - 1) * strides[1] + 1 : strides[1],
                ]
                weights = kernel[c, :, i, j].astype(np.int64).reshape(1, -1, 1, 1)
                part += x[:, c : c + 1] * weights
    top, left, bottom, right = pads
    return out[:, :, top : rows - bottom, left : columns - right]


KINDS = {
    "QuantizedFunction": function,
    "QuantizedSum": total,
    "QuantizedMul": product,
    "QuantizedConcat": joined,
    "QuantizedGlobalAveragePool": mean,
    "QuantizedTranspose": transposed,
    "QuantizedReshape": reshaped,
    "QuantizedFlatten": reshaped,
    "QuantizedSqueeze": reshaped,
    "QuantizedUnsqueeze": reshaped,
    "QuantizedIdentity": reshaped,
    "QuantizedSlice": sliced,
    "QuantizedPad": padded,
    "QuantizedResize": resized,
    "QuantizedMaxPool": largest,
    "QuantizedGlobalMaxPool": largest,
    "QuantizedDepthToSpace": to_space,
    "QuantizedSpaceToDepth": to_space,
}
