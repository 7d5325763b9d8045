"""Small helpers: readable memory sizes, Keras names, precisions, temporary attributes."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Callable, Iterator
from typing import TypeVar

import tf_keras

from larqlite._registration import PACKAGE, register_bare_name
from larqlite.errors import ArgumentError

__all__ = [
    "memory_as_readable_str",
    "register_keras_custom_object",
    "register_alias",
    "set_precision",
    "patch_object",
]

T = TypeVar("T")

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB")


def memory_as_readable_str(num_bits: float) -> str:
    """A number of bits as bytes in the unit that suits it, with two decimals.

    The unit is the largest of B, KiB, MiB and GiB (steps of 1024) that leaves at
    least 1; beyond GiB the number grows.

    Args:
        num_bits: a size in bits, not in bytes.

    Returns:
        The size in bytes, e.g. `"2.99 KiB"`.

    Example:
        >>> memory_as_readable_str(8 * 1536)
        '1.50 KiB'
        >>> memory_as_readable_str(2**43)
        '1,024.00 GiB'
    """
    size = num_bits / 8
    for unit in _BYTE_UNITS:
        if abs(size) < 1024 or unit == _BYTE_UNITS[-1]:
            break
        size /= 1024
    return f"{size:,.2f} {unit}"


def register_keras_custom_object(cls: T) -> T:
    """Decorator: a class or function that Keras finds by its name, also in files.

    It becomes known as `larqlite>Name`, which is what `.keras` files carry, and
    by its bare name. A name that another class already holds is left to that
    class; the same class defined again (a notebook cell run twice) takes its
    place. An object that was registered with Keras before keeps that name.

    Args:
        cls: a class with `get_config`, or a function.

    Returns:
        `cls`, unchanged.

    Example:
        >>> @lq.utils.register_keras_custom_object
        ... class Halve(tf_keras.layers.Layer):
        ...     def call(self, inputs):
        ...         return inputs / 2
        >>> tf_keras.saving.get_registered_name(Halve)
        'larqlite>Halve'
        >>> tf_keras.saving.get_registered_object("Halve") is Halve
        True
    """
    name = cls.__name__
    known = tf_keras.saving.get_custom_objects()
    in_files = f"{PACKAGE}>{name}"
    unregistered = tf_keras.saving.get_registered_name(cls) == name
    storable = hasattr(cls, "get_config") or not isinstance(cls, type)
    if unregistered and storable and _may_take(known.get(in_files), cls):
        tf_keras.saving.register_keras_serializable(PACKAGE, name)(cls)
    return register_alias(name)(cls)


def register_alias(name: str) -> Callable[[T], T]:
    """Decorator: a further bare name under which Keras finds an object.

    The name is left alone if something else holds it already.

    Args:
        name: what users will write, e.g. in `activation=name`.

    Returns:
        A decorator that returns the object unchanged.

    Example:
        >>> @lq.utils.register_alias("cube")
        ... def cubed(x):
        ...     return x**3
        >>> tf_keras.layers.Activation("cube")(tf.constant([2.0])).numpy().tolist()
        [8.0]
    """

    def decorator(obj: T) -> T:
        known = tf_keras.saving.get_custom_objects()
        if _may_take(known.get(name), obj):
            known.pop(name, None)
        register_bare_name(name, obj)
        return obj

    return decorator


def set_precision(precision: int = 32) -> Callable[[T], T]:
    """Decorator: says how many bits come out of a quantizer that is a plain function.

    The summary, the optimizers and the packer read the attribute `precision`.

    Args:
        precision: bits of a quantized value, at least 1.

    Returns:
        A decorator that returns the function with its `precision` set.

    Raises:
        ArgumentError: `precision` is not a positive whole number.

    Example:
        >>> @lq.utils.set_precision(1)
        ... def binarize(x):
        ...     return tf.where(x < 0, -1.0, 1.0)
        >>> binarize.precision
        1
    """
    if not isinstance(precision, numbers.Integral) or precision < 1:
        raise ArgumentError(
            f"set_precision: `precision` is {precision!r}, but it counts the bits of a "
            "quantized value.\n"
            "  Fix: pass a whole number of at least 1, e.g. set_precision(1) for values "
            "in {-1, +1}."
        )

    def decorator(function: T) -> T:
        function.precision = int(precision)
        return function

    return decorator


@contextlib.contextmanager
def patch_object(object, name: str, value) -> Iterator[None]:
    """Gives an object another attribute value for the length of a `with` block.

    The former value returns when the block ends, also by an exception. An
    attribute that came from the class is found on the class again.

    Args:
        object: any object whose attributes can be set.
        name: an attribute that it has.
        value: what it reads as inside the block.

    Raises:
        AttributeError: the object has no attribute `name`.

    Example:
        >>> layer = tf_keras.layers.Dense(2)
        >>> with lq.utils.patch_object(layer, "units", 3):
        ...     layer.units
        3
        >>> layer.units
        2
    """
    former = getattr(object, name)
    own = vars(object) if hasattr(object, "__dict__") else {}
    on_class = not isinstance(object, type) and _has_setter(type(object), name)
    inherited = name not in own and not on_class
    if name in own:
        former = own[name]
    setattr(object, name, value)
    try:
        yield
    finally:
        if inherited:
            delattr(object, name)
        else:
            setattr(object, name, former)


def _may_take(holder, obj) -> bool:
    """Whether a name is free, or held by an earlier definition of the same object."""
    if holder is None or holder is obj:
        return True
    return _origin(holder) == _origin(obj)


def _origin(obj) -> tuple[str | None, str | None]:
    return getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)


def _has_setter(cls: type, name: str) -> bool:
    """Whether `name` is a property or slot of the class."""
    return any(hasattr(vars(base).get(name), "__set__") for base in cls.__mro__)
