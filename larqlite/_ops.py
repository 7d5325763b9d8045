"""The operations that quantizers are written in: TensorFlow's, or those of an array's own library.

A quantizer states its function once. On TensorFlow's tensors these are the operations that a
`tf_keras` model has ever had; on arrays of JAX and PyTorch, which only reach it through
`larqlite.keras3`, the same words mean those of Keras 3. Nothing here imports Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import tensorflow as tf

from larqlite._gradients import custom_gradient

__all__ = ["ops_of", "serve"]


def _mean(x, axis=None):
    return tf.reduce_mean(x, axis, keepdims=axis is not None)


def _max(x, axis=None):
    return tf.reduce_max(x, axis, keepdims=axis is not None)


def _sum(x, axis=None):
    return tf.reduce_sum(x, axis, keepdims=axis is not None)


def _where(condition, x, otherwise):
    return tf.where(condition, x, tf.convert_to_tensor(otherwise, x.dtype))


def _with_gradient(forward, pull_back, *tensors):
    def function(*tensors):
        return forward(*tensors), lambda dy: pull_back(*tensors, dy)

    return custom_gradient(function)(*tensors)


TENSORFLOW = SimpleNamespace(
    abs=tf.abs,
    array=lambda numbers, other: tf.constant(numbers, other.dtype),
    bytes_of=lambda x: x.dtype.size,
    clip=tf.clip_by_value,
    divide_no_nan=tf.math.divide_no_nan,
    exp=tf.exp,
    float32=lambda x: tf.cast(x, tf.float32),
    floor=tf.floor,
    identity=tf.identity,
    is_bool=lambda x: x.dtype == tf.bool,
    like=lambda x, other: tf.cast(x, other.dtype),
    log=tf.math.log,
    max=_max,
    mean=_mean,
    multiply_no_nan=tf.math.multiply_no_nan,
    ones_like=tf.ones_like,
    reciprocal=tf.math.reciprocal,
    relu=tf.nn.relu,
    reshape=tf.reshape,
    round=tf.round,
    sign=tf.sign,
    sqrt=tf.sqrt,
    square=tf.square,
    stop_gradient=tf.stop_gradient,
    sum=_sum,
    take=lambda x, places: tf.gather(x, tf.cast(places, tf.int32)),
    tanh=tf.tanh,
    where=_where,
    with_gradient=_with_gradient,
)

_others: list[tuple[Callable[[Any], bool], SimpleNamespace]] = []


def serve(is_mine: Callable[[Any], bool], ops: SimpleNamespace) -> None:
    """Makes `ops_of` answer with `ops` for what `is_mine` says yes to."""
    missing = set(vars(TENSORFLOW)) ^ set(vars(ops))
    if missing:
        raise ValueError(f"operations that are not those of TENSORFLOW: {missing}")
    _others.append((is_mine, ops))


@tf.autograph.experimental.do_not_convert
def ops_of(x: Any) -> SimpleNamespace:
    r"""The operations for a tensor, by words that mean the same in every library.

    A quantizer that is written in them, in Python's operators and in `lq.math.sign`, runs in
    `tf_keras`, and by `lq.keras3` in Keras 3 on TensorFlow, JAX and PyTorch.

    | word | what it computes |
    |---|---|
    | `abs` `exp` `floor` `log` `reciprocal` `relu` `sqrt` `square` `tanh` | of each entry |
    | `round`, `sign` | of each entry: half to even; the sign of 0 is 0 |
    | `clip(x, low, high)` | of each entry |
    | `divide_no_nan(x, y)`, `multiply_no_nan(x, y)` | 0 where y is 0 |
    | `max`, `mean`, `sum` `(x, axes)` | over axes, which keep size 1; without them a scalar |
    | `where(mask, x, y)` | x where the mask is true, else y, a tensor or a number |
    | `like(x, other)`, `float32(x)` | x in the dtype of `other`; x as float32 |
    | `array(numbers, other)` | numbers of NumPy in the dtype of `other` |
    | `take(x, places)` | entries of a vector; places are whole numbers of any dtype |
    | `bytes_of(x)`, `is_bool(x)` | of the dtype |
    | `identity` `ones_like` `reshape` `stop_gradient` | as everywhere |
    | `with_gradient(f, g, x, ...)` | `f(x, ...)`, whose gradients are `g(x, ..., dy)` |

    Args:
        x: a tensor of TensorFlow (or what becomes one: an array, a number), an array of JAX
            or a tensor of PyTorch.

    Returns:
        A namespace of functions.

    Example:
        >>> x = tf.constant([-2.0, 0.5])
        >>> lq.math.ops_of(x).clip(x, 0, 1).numpy().tolist()
        [0.0, 0.5]
    """
    for is_mine, ops in _others:
        if is_mine(x):
            return ops
    return TENSORFLOW
