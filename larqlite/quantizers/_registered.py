"""The table of quantizers: which names there are, and what stands behind each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from larqlite._registration import (
    PACKAGE,
    NamedFunction,
    register_bare_name,
    register_object,
    register_with_the_way_out,
)
from larqlite._registry import Registry
from larqlite.errors import ArgumentError
from larqlite.quantizers._base import Quantizer, as_function

__all__ = ["RegisteredQuantizer", "entries", "find", "names", "register"]


@dataclass(frozen=True)
class RegisteredQuantizer:
    """A registered quantizer.

    Attributes:
        name: the canonical string, or None for a class that needs arguments.
        target: the Quantizer class, or a plain function of a tensor.
        aliases: further strings that resolve to it.
        function: the quantizer as a function of a tensor, or None.
    """

    name: str | None
    target: type[Quantizer] | Callable
    aliases: tuple[str, ...]
    function: Callable | None


_by_name: dict[str, RegisteredQuantizer] = Registry()
_listeners: list[Callable[[RegisteredQuantizer], None]] = []


def register(
    name: str | None = None, *, aliases: Iterable[str] = (), package: str = PACKAGE
) -> Callable:
    """Decorator: makes a quantizer known by string, in files, and in Keras layers.

    Works on a `Quantizer` subclass, and on a plain function of a tensor (give it
    a precision with `lq.utils.set_precision`). A class that overrides `call` may have
    trainable state, so it is no function of a tensor: its name works wherever larqlite
    takes a quantizer, each time as a new instance, but not as `activation=`.

    Args:
        name: the string that users type; a class is known by its own name too.
            None for a class that cannot be made without arguments.
        aliases: further strings.
        package: the prefix of the name in saved files.

    Returns:
        A decorator that returns the class or function unchanged.

    Raises:
        ArgumentError: a name that another quantizer has.

    Example:
        >>> @lq.quantizers.register("round_half")
        ... class RoundHalf(lq.quantizers.Quantizer):
        ...     precision = 2
        ...     def forward(self, x):
        ...         return tf.round(2 * tf.clip_by_value(x, -0.5, 0.5)) / 2
        ...     def derivative(self, x):
        ...         return tf.abs(x) <= 0.5
        >>> lq.layers.QuantDense(3, input_quantizer="round_half").input_quantizer.precision
        2
    """

    def decorator(target):
        entry = _entry(name, target, tuple(aliases))
        _check_free(entry)
        _forget(target)
        _by_name.update(dict.fromkeys(_names_of(entry), entry))
        register_object(package=package)(target)
        for alias in entry.aliases:
            register_bare_name(alias, entry.function or target)
        if entry.name is not None and entry.function is None:
            register_with_the_way_out(entry.name, target)
        for listener in _listeners:
            listener(entry)
        return target

    return decorator


def _entry(name: str | None, target, aliases: tuple[str, ...]) -> RegisteredQuantizer:
    if not inspect.isclass(target):
        name = name or target.__name__
        return RegisteredQuantizer(name, target, aliases, NamedFunction(name, target))
    if name is None:
        return RegisteredQuantizer(None, target, aliases, None)
    required = required_arguments(target)
    if required:
        raise ArgumentError(
            f'lq.quantizers.register("{name}"): {target.__name__} cannot be made from a '
            f"string, since it requires {', '.join(required)}.\n"
            "  Fix: give the arguments defaults, or register it without a name."
        )
    overridden = target.call is not Quantizer.call
    function = None if overridden else as_function(target, name)
    return RegisteredQuantizer(name, target, aliases, function)


def required_arguments(cls: type) -> list[str]:
    """Names of the arguments without which a class cannot be made."""
    return [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]


def _names_of(entry: RegisteredQuantizer) -> tuple[str, ...]:
    own = (entry.target.__name__,) if inspect.isclass(entry.target) else ()
    return tuple(filter(None, (entry.name, *entry.aliases, *own)))


def _check_free(entry: RegisteredQuantizer) -> None:
    for name in _names_of(entry):
        taken = _by_name.get(name)
        # Running a notebook cell again defines the same quantizer anew.
        if taken is not None and _path(taken.target) != _path(entry.target):
            raise ArgumentError(
                f'lq.quantizers.register: the name "{name}" of {_path(entry.target)} is '
                f"taken by {_path(taken.target)}.\n  Fix: choose another name."
            )


def _forget(target) -> None:
    for old in [e for e in entries() if _path(e.target) == _path(target)]:
        for name in _names_of(old):
            _by_name.pop(name, None)


def _path(target) -> str:
    return f"{target.__module__}.{target.__qualname__}"


def names() -> list[str]:
    """The strings that name quantizers, sorted; aliases are left out.

    Example:
        >>> "ste_sign" in lq.quantizers.names()
        True
    """
    return sorted(entry.name for entry in entries() if entry.name is not None)


def entries() -> list[RegisteredQuantizer]:
    """All registered quantizers in the order of registration, with their aliases."""
    # Each once, though several names lead to it.
    return list({id(entry): entry for entry in _by_name.values()}.values())


def on_register(listener: Callable[[RegisteredQuantizer], None]) -> None:
    """Calls a function with what is registered: all that is there, and all to come."""
    for entry in entries():
        listener(entry)
    _listeners.append(listener)


def find(name: str) -> RegisteredQuantizer | None:
    """The quantizer of that name, alias or class name, or None."""
    return _by_name.get(name)


def known_names() -> list[str]:
    """Every name, alias and class name, for near matches."""
    return list(_by_name)
