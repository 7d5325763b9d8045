"""Standard operations on floats in NumPy, as opset 18 defines them, by name.

They run the float parts of a file where ONNX Runtime is not installed: simple, and slow on
large convolutions. An operation that is not in the table needs ONNX Runtime.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# From attributes and inputs (None: one that is left out) to the only output.
FloatOperation = Callable[..., np.ndarray]

# By the numbers of ONNX.
_TYPES = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
}


def _softmax(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    axis = given.get("axis", -1)
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _clip(given: Mapping[str, Any], x, low=None, high=None) -> np.ndarray:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _cast(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    return x.astype(_TYPES[given["to"]])


def _reshape(given: Mapping[str, Any], x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return x.reshape(
        [x.shape[axis] if length == 0 else length for axis, length in enumerate(shape)]
    )


def _flatten(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    axis = given.get("axis", 1)
    rows = int(np.prod(x.shape[: axis if axis >= 0 else x.ndim + axis]))
    return x.reshape(rows, -1) if x.size else x.reshape(rows, x.size)


def _slice(given: Mapping[str, Any], x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # A backward slice that ends before the first value: None, as -1 is the last one.
        stop = None if step < 0 and end < -x.shape[axis] else int(end)
        index[axis] = slice(int(start), stop, int(step))
    return x[tuple(index)]


def _pad(given: Mapping[str, Any], x, pads, value=None, axes=None) -> np.ndarray:
    chosen = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
    around = [(0, 0)] * x.ndim
    half = len(pads) // 2
    for axis, before, after in zip(chosen, pads[:half], pads[half:], strict=True):
        around[axis] = int(before), int(after)
    mode = given.get("mode") or "constant"
    if mode != "constant":
        return np.pad(x, around, mode)
    return np.pad(x, around, constant_values=0 if value is None else value.item())


def _padded(x: np.ndarray, pads: Sequence[int], value: float) -> np.ndarray:
    """An image with borders around its spatial axes."""
    rank = x.ndim - 2
    around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    return np.pad(x, around, constant_values=value) if any(pads) else x


def _windows(given: Mapping[str, Any], x, kernel: Sequence[int], value: float):
    """What lies under a window, `(batch, channels, *positions, *window)`."""
    rank = x.ndim - 2
    steps = given.get("strides") or [1] * rank
    dilations = given.get("dilations") or [1] * rank
    x = _padded(x, given.get("pads") or [0] * 2 * rank, value)
    sizes = [1 + (k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    found = sliding_window_view(x, sizes, tuple(range(2, 2 + rank)))
    every = [slice(None, None, step) for step in (*steps, *dilations)]
    return found[(slice(None), slice(None), *every)]


def _conv(given: Mapping[str, Any], x, weights, bias=None) -> np.ndarray:
    groups, rank = given.get("group") or 1, x.ndim - 2
    found = _windows(given, x, weights.shape[2:], 0.0)
    summed = [1, *range(2 + rank, 2 + 2 * rank)]
    with_weights = [1, *range(2, 2 + rank)]
    parts = [
        np.tensordot(own, kernel, (summed, with_weights))
        for own, kernel in zip(
            np.split(found, groups, 1), np.split(weights, groups), strict=True
        )
    ]
    sums = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    return sums if bias is None else sums + bias.reshape(-1, *[1] * rank)


def _gemm(given: Mapping[str, Any], a, b, c=None) -> np.ndarray:
    product = a @ (b.T if given.get("transB") else b)
    product = product * np.float32(given.get("alpha", 1.0))
    return product if c is None else product + np.float32(given.get("beta", 1.0)) * c


def _max_pool(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    found = _windows(given, x, given["kernel_shape"], -np.inf)
    return found.max(tuple(range(x.ndim, 2 * x.ndim - 2)))


def _average_pool(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    axes = tuple(range(x.ndim, 2 * x.ndim - 2))
    sums = _windows(given, x, given["kernel_shape"], 0.0).sum(axes)
    counted = np.ones((1, 1, *x.shape[2:]), x.dtype)
    beyond = float(bool(given.get("count_include_pad")))
    return sums / _windows(given, counted, given["kernel_shape"], beyond).sum(axes)


def _of_all_pixels(function: Callable) -> FloatOperation:
    def run(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
        return function(x, axis=tuple(range(2, x.ndim)), keepdims=True)

    return run


def _reduction(function: Callable) -> FloatOperation:
    def run(given: Mapping[str, Any], x: np.ndarray, axes=None) -> np.ndarray:
        if axes is None and given.get("noop_with_empty_axes"):
            return x
        chosen = None if axes is None or not len(axes) else tuple(axes.tolist())
        return function(x, axis=chosen, keepdims=bool(given.get("keepdims", 1)))

    return run


def _plain(function: Callable) -> FloatOperation:
    """A function of the inputs alone."""
    return lambda given, *inputs: function(*inputs)


def _several(function: Callable) -> FloatOperation:
    return lambda given, *inputs: functools.reduce(function, inputs)


def _leaky_relu(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, x * np.float32(given.get("alpha", 0.01)), x)


def _elu(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.float32(given.get("alpha", 1.0)) * np.expm1(x), x)


def _hard_sigmoid(given: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    slope, offset = given.get("alpha", 0.2), given.get("beta", 0.5)
    return np.clip(np.float32(slope) * x + np.float32(offset), 0, 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


FLOAT_OPERATIONS: dict[str, FloatOperation] = {
    "Identity": lambda given, x: x,
    **{name: _plain(getattr(np, name.lower())) for name in
       ("Abs", "Ceil", "Cos", "Exp", "Floor", "Log", "Sign", "Sin", "Sqrt", "Tanh")},
    "Neg": _plain(np.negative),
    "Reciprocal": _plain(lambda x: 1 / x),
    "Round": _plain(np.rint),
    "Relu": _plain(lambda x: np.maximum(x, 0)),
    "Sigmoid": _plain(_sigmoid),
    "Softplus": _plain(lambda x: np.logaddexp(x, np.float32(0))),
    "Softsign": _plain(lambda x: x / (1 + np.abs(x))),
    "HardSwish": _plain(lambda x: x * np.clip(x / 6 + np.float32(0.5), 0, 1)),
    "Pow": _plain(np.power),
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "PRelu": _plain(lambda x, slope: np.where(x < 0, x * slope, x)),
    "Clip": _clip,
    "Cast": _cast,
    "Where": _plain(np.where),
    "Not": _plain(np.logical_not),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Div": _plain(np.divide),
    "Max": _several(np.maximum),
    "Min": _several(np.minimum),
    "Sum": _several(np.add),
    "Softmax": _softmax,
    "Conv": _conv,
    "MatMul": _plain(np.matmul),
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _of_all_pixels(np.mean),
    "GlobalMaxPool": _of_all_pixels(np.max),
    "ReduceMean": _reduction(np.mean),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda given, x: np.transpose(x, given.get("perm")),
    "Squeeze": _plain(lambda x, axes: np.squeeze(x, tuple(axes.tolist()))),
    "Unsqueeze": _plain(lambda x, axes: np.expand_dims(x, tuple(axes.tolist()))),
    "Concat": lambda given, *inputs: np.concatenate(inputs, given["axis"]),
    "Slice": _slice,
    "Pad": _pad,
    "Gather": lambda given, x, rows: np.take(x, rows, given.get("axis", 0)),
}  # fmt: skip
