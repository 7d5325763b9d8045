"""How an object of larqlite becomes known to Keras: one prefixed name, and bare names.

`larqlite>Name` is what new files carry, so they never clash with another
library's. The bare names are what users type (`activation="ste_sign"`) and what
`.h5` files carry for nested objects; a bare name that another library took
first is left alone. Classes that go by the names of TFMOT and QuantizeML have no bare
name, as these would find ours under it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import ClassVar

import tf_keras

from larqlite._registry import Registry
from larqlite.errors import ArgumentError, UnsupportedModelError, near_matches

PACKAGE = "larqlite"

# Packages that come with this one and that nothing imports: the modules that register
# their objects, with names of these in files that do not hold the module's.
COMPANIONS = {
    "larqlite_zoo": (
        "BinaryDenseNet",
        "BlurPool",
        "blurpool_initializer",
        "MagnitudeAwareSignUnclipped",
        "XnorWeightScale",
        "magnitude_aware_sign_unclipped",
        "xnor_weight_scale",
    ),
    "larqlite_zoo.training": (
        "larqlite_zoo>AttentionMatchingLossLayer",
        "larqlite_zoo>OutputDistributionMatchingLossLayer",
        "larqlite_zoo>WeightedCrossEntropyLoss",
    ),
}


def register_object(
    name: str | None = None,
    aliases: Iterable[str] = (),
    package: str = PACKAGE,
    bare: bool = True,
) -> Callable:
    """Decorator that registers a class or function under `package>name` and bare names.

    Args:
        name: the registered name; the object's own `__name__` by default.
        aliases: further bare names that resolve to the same object.
        package: the prefix in files.
        bare: whether it is known without the prefix too.

    Returns:
        A decorator that returns the object unchanged.
    """

    def decorator(obj):
        own_name = name or obj.__name__
        tf_keras.saving.register_keras_serializable(package, own_name)(obj)
        for bare_name in (own_name, *aliases) if bare else ():
            register_bare_name(bare_name, obj)
        return obj

    return decorator


def register_bare_name(name: str, obj) -> None:
    """Makes `name` resolve to `obj` in Keras, unless the name is taken, by Keras too."""
    known = tf_keras.saving.get_custom_objects()
    if name not in known and not _is_of_keras(name):
        known[name] = obj


def _is_of_keras(name: str) -> bool:
    """Whether Keras has something by that name, which no custom object has yet.

    Of initializers it knows more than its modules show: "uniform" is the default of
    `Embedding`.
    """
    modules = (tf_keras.activations, tf_keras.constraints, tf_keras.regularizers)
    if any(hasattr(module, name) for module in modules):
        return True
    try:
        return tf_keras.initializers.get(name) is not None
    except ValueError:
        return False


def import_companions(text: str) -> None:
    """Imports the packages of this distribution whose objects a file names.

    Args:
        text: of the file's configuration, in which names stand in quotation marks.
    """
    for module, names in COMPANIONS.items():
        if module in text or any(f'"{name}"' in text for name in names):
            importlib.import_module(module)


def deserialize_object(config, custom_objects: dict | None = None):
    """The object that `tf_keras.saving.serialize_keras_object` described, in any file.

    While Keras reads an `.h5` file it looks for nested objects under their bare names
    alone; here larqlite's are found by the name with the prefix.

    Args:
        config: what that function returned.
        custom_objects: further objects by name.
    """
    name = config.get("registered_name") if isinstance(config, dict) else None
    if str(name).startswith(f"{PACKAGE}>"):
        cls = tf_keras.saving.get_registered_object(name)
        if inspect.isclass(cls):
            return cls.from_config(dict(config["config"]))
    return tf_keras.saving.deserialize_keras_object(
        config, custom_objects=custom_objects
    )


class NamedFunction:
    """A function that files of every format can hold, in plain Keras layers too.

    Keras writes a custom function into `.h5` as a dictionary that it cannot read
    back; an object with a configuration it can.

    Args:
        name: the string that resolves to it.
        function: what a call does.
        signature: the signature to show; the function's own by default.
    """

    known: ClassVar[Registry] = Registry()

    def __init__(
        self, name: str, function: Callable, signature: inspect.Signature | None = None
    ):
        functools.update_wrapper(self, function)
        self.__name__ = self.__qualname__ = name
        self.__signature__ = signature or inspect.signature(function)
        self._function = function
        NamedFunction.known[name] = self
        register_bare_name(name, self)

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __deepcopy__(self, memo):
        return self

    def __repr__(self) -> str:
        return f"<larqlite function {self.__name__}{self.__signature__}>"

    def get_config(self) -> dict:
        """The name; `from_config` finds the function that has it."""
        return {"name": self.__name__}

    @classmethod
    def from_config(cls, config: dict) -> NamedFunction:
        """The function of that name.

        Raises:
            UnsupportedModelError: no function has it in this process.
        """
        name = config["name"]
        if name not in cls.known:
            raise UnsupportedModelError(
                f'unknown function "{name}".{near_matches(name, cls.known)}\n'
                "  Fix: import the module that registers it before you load the model."
            )
        return cls.known[name]


tf_keras.saving.register_keras_serializable(PACKAGE)(NamedFunction)
register_bare_name("NamedFunction", NamedFunction)


def register_with_the_way_out(name: str, cls: type) -> None:
    """Makes `activation=name` in a Keras layer fail with what to write instead.

    Keras takes what it finds under the string for a function of a tensor, and a layer
    with weights is none.
    """

    def refuse(x):
        raise ArgumentError(
            f'activation="{name}": {cls.__name__} has weights or random numbers of its '
            "own, which a string gives no place to live in.\n"
            f"  Fix: activation={cls.__name__}(), or {cls.__name__}() as a layer of its "
            "own."
        )

    NamedFunction(name, refuse)


def named_function(function: Callable) -> NamedFunction:
    """Decorator: a function that is known to Keras by its own name."""
    return NamedFunction(function.__name__, function)
