"""State of a layer that is no weight: attributes, tables, random generators."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import UnsupportedModelError

Layer = tf_keras.layers.Layer

_MISSING = object()
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_TABLES = (tf.lookup.StaticHashTable, tf.lookup.StaticVocabularyTable)
_MUTABLE_TABLES = tf.lookup.experimental.MutableHashTable


@functools.cache
def bookkeeping() -> frozenset[str]:
    """The attributes that Keras gives every layer."""
    return frozenset(vars(Layer(name="larqlite_nothing")))


def carry_attributes(source: Layer, target: Layer, where: str, changed=()) -> None:
    """Gives a copy the attributes that the configuration did not bring along.

    Compared are plain data, arrays, tensors, tables and objects made of them, as a class
    of the user's may keep them; those of Keras and larqlite keep theirs in weights.

    Args:
        source: the layer or model.
        target: its copy.
        where: the public function, for messages.
        changed: names of settings that are meant to be different.

    Raises:
        UnsupportedModelError: an attribute that cannot be copied.
    """
    held, new = vars(source), vars(target)
    for name, value in list(held.items()):
        if name in bookkeeping() or name in changed or name.startswith("_self_"):
            continue
        other = new.get(name, _MISSING)
        if _has_own(value) or _has_own(other) or _same(value, other):
            continue
        if isinstance(value, _TABLES):
            setattr(target, name, value)  # it never changes
        elif isinstance(value, _MUTABLE_TABLES) and type(other) is type(value):
            other.remove(other.export()[0])
            other.insert(*value.export())
        elif isinstance(value, tf.random.Generator) and type(other) is type(value):
            other.reset(value.state)
        else:
            setattr(target, name, _copied(source, target, name, value, where))


def carry_generators(source: Any, target: Any) -> None:
    """Lets the random generators of a Keras layer go on where those of the other are."""
    held = vars(target)
    for name, value in vars(source).items():
        other = held.get(name)
        if isinstance(value, tf.random.Generator) and type(other) is type(value):
            other.reset(value.state)
        elif "Generator" in type(value).__name__ and type(other) is type(value):
            carry_generators(value, other)


def _copied(source: Layer, target: Layer, name: str, value: Any, where: str) -> Any:
    if getattr(value, "__self__", None) is source:
        return getattr(target, value.__name__)
    if _is_function(value) or isinstance(value, tf.Tensor):
        return value
    try:
        return copy.deepcopy(_unwrapped(value))
    except Exception as error:
        raise UnsupportedModelError(
            f'{where}: unable to copy the layer "{source.name}" '
            f"({type(source).__name__}): its attribute {name!r}, a "
            f"{type(value).__name__}, is set after the layer is made and cannot be "
            f"copied ({type(error).__name__}: {error}).\n"
            "  Fix: make it in __init__ from arguments that get_config returns, or keep "
            "its numbers in weights (add_weight)."
        ) from error


def _unwrapped(value: Any) -> Any:
    """Lists and dictionaries without what TensorFlow puts around them to track them."""
    if isinstance(value, Mapping):
        return {key: _unwrapped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    return value


def _has_own(value: Any) -> bool:
    """Whether a value is, or holds, what a copy has of its own: layers, variables."""
    return any(
        isinstance(
            leaf, (tf.Module, tf.Variable, tf.Graph, tf_keras.optimizers.Optimizer)
        )
        or (isinstance(leaf, tf.Tensor) and not hasattr(leaf, "numpy"))
        or (
            type(leaf).__module__.startswith(("tf_keras.", "tensorflow.", "larqlite."))
            and not isinstance(
                leaf, (tf.Tensor, *_TABLES, _MUTABLE_TABLES, tf.random.Generator)
            )
        )
        for leaf in _leaves(value, set())
    )


def _leaves(value: Any, seen: set[int]) -> Iterator[Any]:
    """What containers and the user's own objects hold, at whatever depth."""
    if id(value) in seen or isinstance(value, (*_PLAIN, np.ndarray, type)):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _leaves(item, seen)
    elif _is_users(value):
        for item in vars(value).values():
            yield from _leaves(item, seen)
    else:
        yield value


def _is_users(value: Any) -> bool:
    module = type(value).__module__
    known = module.startswith(("tf_keras.", "tensorflow.", "larqlite.", "builtins"))
    return hasattr(value, "__dict__") and not known


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)


def _same(a: Any, b: Any, seen: frozenset = frozenset()) -> bool:
    """Whether two attributes hold the same; True where that cannot be seen."""
    if a is b or (id(a), id(b)) in seen:
        return True
    if b is _MISSING or (b is None) != (a is None):
        return False
    seen |= {(id(a), id(b))}
    if isinstance(a, (tf.Tensor, np.ndarray)):
        return _same_arrays(a, b)
    if isinstance(a, (_MUTABLE_TABLES, *_TABLES)):
        return type(a) is type(b) and _same_tables(a, b)
    if isinstance(a, tf.random.Generator):
        return type(a) is type(b) and _same_arrays(a.state, b.state)
    if isinstance(a, _PLAIN):
        return isinstance(b, _PLAIN) and bool(a == b or (a != a and b != b))
    if isinstance(a, Mapping):
        is_like = isinstance(b, Mapping) and list(a) == list(b)
        return is_like and all(_same(a[key], b[key], seen) for key in a)
    if isinstance(a, (list, tuple)):
        is_like = isinstance(b, (list, tuple)) and len(a) == len(b)
        return is_like and all(_same(x, y, seen) for x, y in zip(a, b, strict=True))
    if inspect.isroutine(a):
        return getattr(a, "__qualname__", "") == getattr(b, "__qualname__", None)
    if type(a) is not type(b):
        return False
    if _is_users(a):
        return _same(vars(a), vars(b), seen)
    return type(a).__eq__ is object.__eq__ or bool(a == b)


def _same_arrays(a: Any, b: Any) -> bool:
    try:
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and np.array_equal(
            a, b, equal_nan=a.dtype.kind in "fc"
        )
    except (NotImplementedError, TypeError, ValueError):
        return False


def _same_tables(a: Any, b: Any) -> bool:
    if not hasattr(a, "export"):
        return False
    (keys, values), (others, theirs) = a.export(), b.export()
    return _as_dict(keys, values) == _as_dict(others, theirs)


def _as_dict(keys: tf.Tensor, values: tf.Tensor) -> dict:
    return dict(zip(keys.numpy().tolist(), values.numpy().tolist(), strict=True))
