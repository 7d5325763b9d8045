"""Constants in graphs: what is known when a graph is made is computed then, once.

Weights are variables, so a graph computes their integers at each call. Where they are
frozen, they are eager tensors instead; what follows from them alone is then computed
while the graph is traced.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np
import tensorflow as tf


def are_known(*tensors) -> bool:
    """Whether a graph is being made, and all tensors have their values already."""
    return not tf.executing_eagerly() and not any(map(tf.is_symbolic_tensor, tensors))


def folded(*tensors):
    """Scope for a computation that only depends on `tensors`.

    Its results are constants of the graph if these are, else operations.
    """
    return tf.init_scope() if are_known(*tensors) else contextlib.nullcontext()


_only_signature = contextvars.ContextVar("larqlite_integer_signature", default=False)


@contextlib.contextmanager
def only_signature() -> Iterator[None]:
    """Scope of a call that asks for types, shapes and bounds of its results alone.

    Keras calls each layer once when a model is put together, and keeps nothing of the
    computation.
    """
    token = _only_signature.set(True)
    try:
        yield
    finally:
        _only_signature.reset(token)


def is_only_signature_of(tensor) -> bool:
    """Whether nothing is computed with the values of a tensor, which are not known."""
    return _only_signature.get() and tf.is_symbolic_tensor(tensor)


_frozen = contextvars.ContextVar("larqlite_integer_frozen", default=False)


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Scope in which graphs take the values that variables have now as constants."""
    token = _frozen.set(True)
    try:
        yield
    finally:
        _frozen.reset(token)


def is_frozen() -> bool:
    """Whether a graph is being made whose variables are constants."""
    return _frozen.get() and not tf.executing_eagerly()


def tight_limit(values: tf.Tensor, limit: int) -> int:
    """The largest magnitude of integers that are constants of a graph; else `limit`."""
    if not _frozen.get() or not tf.executing_eagerly():
        return limit
    return min(limit, int(np.max(np.abs(values.numpy()), initial=0)))


def as_tensor(x) -> tf.Tensor:
    """`x` as a tensor; a tensor stays what it is, so that constants remain known."""
    if isinstance(x, tf.Tensor):
        return x
    with tf.init_scope() if is_frozen() else contextlib.nullcontext():
        return tf.convert_to_tensor(x)


def value_of(tensor: tf.Tensor) -> np.ndarray | None:
    """The value of a constant of the graph that is being made, or None."""
    return tensor.numpy() if are_known(tensor) and hasattr(tensor, "numpy") else None


def known(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor; where variables are frozen, the value of a graph's own constant."""
    if not is_frozen() or not tf.is_symbolic_tensor(tensor):
        return tensor
    value = tf.get_static_value(tensor)
    if value is None:
        return tensor
    with tf.init_scope():
        return tf.constant(value, tensor.dtype)


def embedded(tensor: tf.Tensor) -> tf.Tensor:
    """A constant of the graph that is being made, instead of an input to it."""
    value = value_of(tensor) if is_frozen() else None
    return tensor if value is None else tf.constant(value, tensor.dtype)
