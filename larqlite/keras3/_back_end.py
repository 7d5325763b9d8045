"""What depends on the back end of Keras 3: what the words of `lq.math.ops_of` mean on arrays of
JAX and PyTorch, and how a pseudo-gradient gets to a function."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras

from larqlite._ops import serve

__all__ = ["BACKEND"]

BACKEND = keras.backend.backend()


def _where(condition, x, otherwise):
    if not keras.ops.is_tensor(otherwise):
        otherwise = keras.ops.full_like(x, otherwise)
    return keras.ops.where(condition, x, otherwise)


def _divide_no_nan(x, y):
    is_zero = y == 0
    safe = keras.ops.where(is_zero, keras.ops.ones_like(y), y)
    return keras.ops.where(is_zero, keras.ops.zeros_like(x / safe), x / safe)


def _multiply_no_nan(x, y):
    product = x * y
    return keras.ops.where(y == 0, keras.ops.zeros_like(product), product)


def _mean(x, axis=None):
    if axis is not None and len(axis) == 0:
        return x
    return keras.ops.mean(x, axis=axis, keepdims=axis is not None)


def _max(x, axis=None):
    if axis is not None and len(axis) == 0:
        return x
    return keras.ops.max(x, axis=axis, keepdims=axis is not None)


def _sum(x, axis=None):
    if axis is not None and len(axis) == 0:
        return x
    return keras.ops.sum(x, axis=axis, keepdims=axis is not None)


def _sign(x):
    # PyTorch's sign of NaN is 0.
    return keras.ops.where(x == x, keras.ops.sign(x), x)


def _with_gradient(forward: Callable, pull_back: Callable, *tensors: Any) -> Any:
    """As the word of `ops_of`; Keras calls what goes back in two ways."""

    def function(*tensors):
        def backwards(*arguments, upstream=None):
            # PyTorch's form: the tensors, and the gradient by name.
            dy = arguments[-1] if upstream is None else upstream
            return pull_back(*tensors, dy)

        return forward(*tensors), backwards

    return keras.ops.custom_gradient(function)(*tensors)


OPS = SimpleNamespace(
    abs=keras.ops.abs,
    array=lambda numbers, other: keras.ops.convert_to_tensor(numbers, other.dtype),
    bytes_of=lambda x: _BYTES[keras.backend.standardize_dtype(x.dtype)],
    clip=keras.ops.clip,
    divide_no_nan=_divide_no_nan,
    exp=keras.ops.exp,
    float32=lambda x: keras.ops.cast(x, "float32"),
    floor=keras.ops.floor,
    identity=lambda x: x,
    is_bool=lambda x: keras.backend.standardize_dtype(x.dtype) == "bool",
    like=lambda x, other: keras.ops.cast(x, other.dtype),
    log=keras.ops.log,
    max=_max,
    mean=_mean,
    multiply_no_nan=_multiply_no_nan,
    ones_like=keras.ops.ones_like,
    reciprocal=lambda x: 1 / x,
    relu=keras.ops.relu,
    reshape=keras.ops.reshape,
    round=keras.ops.round,
    sign=_sign,
    sqrt=keras.ops.sqrt,
    square=keras.ops.square,
    stop_gradient=keras.ops.stop_gradient,
    sum=_sum,
    take=lambda x, places: keras.ops.take(x, keras.ops.cast(places, "int32")),
    tanh=keras.ops.tanh,
    where=_where,
    with_gradient=_with_gradient,
)
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

if BACKEND != "tensorflow":
    serve(keras.ops.is_tensor, OPS)
