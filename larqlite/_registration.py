"""How an object of larqlite becomes known to Keras: one prefixed name, and bare names.

`larqlite>Name` is what new files carry, so they never clash with another
library's. The bare names are what users type (`activation="ste_sign"`) and what
`.h5` files carry for nested objects; a bare name that another library took
first is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tf_keras

PACKAGE = "larqlite"


def register_object(
    name: str | None = None, aliases: Iterable[str] = (), package: str = PACKAGE
) -> Callable:
    """Decorator that registers a class or function under `package>name` and bare names.

    Args:
        name: the registered name; the object's own `__name__` by default.
        aliases: further bare names that resolve to the same object.
        package: the prefix in files.

    Returns:
        A decorator that returns the object unchanged.
    """

    def decorator(obj):
        own_name = name or obj.__name__
        tf_keras.saving.register_keras_serializable(package, own_name)(obj)
        for bare_name in (own_name, *aliases):
            register_bare_name(bare_name, obj)
        return obj

    return decorator


def register_bare_name(name: str, obj) -> None:
    """Makes `name` resolve to `obj` in Keras, unless the name is taken."""
    tf_keras.saving.get_custom_objects().setdefault(name, obj)
