"""What a misspelt argument of a layer, quantizer or optimizer may have been meant as."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import tf_keras

from larqlite.errors import ArgumentError, UnknownArgumentError, near_matches

# Of the base class of all layers, which takes them as `**kwargs`.
_OF_EVERY_LAYER = (
    "activity_regularizer", "autocast", "batch_input_shape", "batch_size", "dtype",
    "dynamic", "implementation", "input_dim", "input_shape", "name", "trainable",
    "weights",
)  # fmt: skip
_MODULES = {
    "activation function": tf_keras.activations,
    "constraint": tf_keras.constraints,
    "initializer": tf_keras.initializers,
    "regularizer": tf_keras.regularizers,
}


# What Keras says of an argument of a layer, of an optimizer; and Keras 3 of a layer.
_UNKNOWN = ("not understood", "is not a valid argument", "Unrecognized keyword arg")


def place(kind: type, given: Mapping[str, Any]) -> str:
    """The class and, if it is among the arguments, the name, for messages."""
    return f'{kind.__name__} "{given["name"]}"' if given.get("name") else kind.__name__


def _public(kind: type) -> str:
    """How users write the class: in the folder of its file, if it is one of ours."""
    package, *folders = kind.__module__.split(".")
    if package != "larqlite":
        return kind.__name__
    return ".".join(["lq", *(f for f in folders if f[0] != "_"), kind.__name__])


def raise_with_a_guess(kind: type, given: Mapping[str, Any], error: Exception) -> None:
    """Raises an error of this library where Keras does not know an argument.

    Args:
        kind: the class of the layer, quantizer or optimizer.
        given: arguments by name.
        error: of Keras.

    Raises:
        UnknownArgumentError: it has no such argument.
        ArgumentError: it is the name of no activation, constraint, initializer or
            regularizer.
    """
    where = place(kind, given)
    text = str(error)
    if any(said in text for said in _UNKNOWN):
        known = _arguments_of(kind)
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UnknownArgumentError(
                f"{where}: there is no argument {unknown[0]}."
                f"{near_matches(unknown[0], known)}\n"
                f"  Fix: a name out of help({_public(kind)})."
            ) from error
    found = re.search(r"Unknown ([a-z ]+?):? '([^']*)'", text)
    if found and found[1] in _MODULES:
        _refuse(where, given, found[1], found[2], error)


def refuse_names(layer: Any, given: Mapping[str, Any]) -> None:
    """Raises where Keras took an unknown name as it is, as it does for regularizers.

    Raises:
        ArgumentError: an argument is still the name that it was.
    """
    for name, value in given.items():
        kind = name.rpartition("_")[2]
        if (
            isinstance(value, str)
            and kind in _MODULES
            and getattr(layer, name) == value
        ):
            where = f'{type(layer).__name__} "{layer.name}"'
            _refuse(where, given, kind, value, None)


def _refuse(where: str, given, kind: str, value: str, error) -> NoReturn:
    role = next((name for name, other in given.items() if other == value), kind)
    raise ArgumentError(
        f'{where}: {role}="{value}" is the name of no {kind}.'
        f"{near_matches(value, _names(kind))}\n"
        f"  Fix: a name that tf_keras.{kind.split()[0]}s or larqlite knows; one of your own "
        "is registered with tf_keras.saving.register_keras_serializable."
    ) from error


def _arguments_of(kind: type) -> set[str]:
    is_layer = issubclass(kind, tf_keras.layers.Layer)
    known = set(_OF_EVERY_LAYER if is_layer else ())
    for base in kind.__mro__:
        if "__init__" in vars(base):
            known |= {
                parameter.name
                for parameter in inspect.signature(base.__init__).parameters.values()
                if parameter.kind
                in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            }
    return known - {"self", "conv_op", "rank"}  # what Keras' own classes set


def _names(what: str) -> set[str]:
    """Names that Keras resolves, those that were registered among them."""
    names = {name for name in vars(_MODULES[what]) if not name.startswith("_")}
    return names | {
        name for name in tf_keras.saving.get_custom_objects() if ">" not in name
    }
