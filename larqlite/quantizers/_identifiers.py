"""From names, dictionaries and objects to quantizers, and back to dictionaries."""

from __future__ import annotations

import ast
import inspect
import logging
import re
from typing import Any

import tf_keras

from larqlite import context
from larqlite._registration import PACKAGE
from larqlite.errors import (
    QuantizerError,
    UnknownQuantizerError,
    near_matches,
    require_tf_keras,
)
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._registered import find, known_names, required_arguments

__all__ = ["deserialize", "get", "get_kernel_quantizer", "serialize"]

log = logging.getLogger("larqlite.quantizers")

FOREIGN_PACKAGES = ("larq", "Larq", "Custom")


def get(identifier: Any) -> Any:
    """The quantizer that a string, dictionary, class or object means.

    Args:
        identifier: a registered name or class name (`"ste_sign"`, `"SteSign"`), such
            a name with numbers and words as arguments (`"dorefa(3, mode='weights')"`), a
            serialized quantizer, a `Quantizer` class (it is instantiated), any
            callable (returned as it is), or None.

    Returns:
        A quantizer instance, a callable, or None for None.

    Raises:
        UnknownQuantizerError: nothing is known by that name.
        QuantizerError: a class or name that needs arguments, or gets wrong ones.
        KerasVersionError: a Keras 3 object.

    Example:
        >>> lq.quantizers.get("ste_sign").precision
        1
        >>> lq.quantizers.get("dorefa(3, mode='weights')").precision
        3
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return _from_string(identifier)
    require_tf_keras(identifier, "lq.quantizers.get")
    if inspect.isclass(identifier):
        return _instantiate(identifier, identifier.__name__)
    if callable(identifier):
        return identifier
    raise UnknownQuantizerError(
        f"lq.quantizers.get: could not interpret {identifier!r} as a quantizer.\n"
        "  Fix: pass a name, a Quantizer, or a function of a tensor. All names: "
        "lq.quantizers.names()."
    )


def _from_string(name: str):
    entry = find(name)
    if entry is not None:
        target = entry.target
        return _instantiate(target, name) if inspect.isclass(target) else entry.function
    if name.rstrip().endswith(")"):
        return _from_call(name)
    if _snake(name) in ("noop", "no_op", "noop_quantizer", "no_op_quantizer"):
        return _instantiate(find("NoOp").target, name)
    registered = tf_keras.saving.get_registered_object(name)
    if inspect.isclass(registered) and issubclass(registered, tf_keras.layers.Layer):
        return _instantiate(registered, name)
    if inspect.isfunction(registered):
        return registered
    raise unknown_quantizer(name)


def _from_call(text: str) -> Quantizer:
    """The quantizer of a name with arguments, which are literals; nothing is run."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call.func.id
        values = [ast.literal_eval(each) for each in call.args]
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, AttributeError, ValueError) as error:
        raise QuantizerError(
            f"quantizer {text!r}: neither a name nor a name with arguments.\n"
            "  Fix: numbers and words in quotes, as in \"dorefa(3, mode='weights')\"."
        ) from error
    entry = find(name)
    if entry is None:
        raise unknown_quantizer(name)
    if not inspect.isclass(entry.target):
        raise QuantizerError(
            f"quantizer {text!r}: {name} is a function, which takes no arguments.\n"
            f'  Fix: "{name}".'
        )
    try:
        return entry.target(*values, **named)
    except TypeError as error:
        known = ", ".join(inspect.signature(entry.target).parameters)
        raise QuantizerError(
            f"quantizer {text!r}: {error}.\n  Fix: arguments of "
            f"{entry.target.__name__}({known})."
        ) from error


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def unknown_quantizer(name: str) -> UnknownQuantizerError:
    """The error for a name that nothing is registered under, with the near matches."""
    return UnknownQuantizerError(
        f'unknown quantizer "{name}".{near_matches(name, known_names())}\n'
        "  All names: lq.quantizers.names()."
    )


def _instantiate(cls: type, name: str):
    if not issubclass(cls, tf_keras.layers.Layer):
        raise UnknownQuantizerError(
            f"lq.quantizers.get: the class {cls.__name__} is not a quantizer.\n"
            "  Fix: derive it from larqlite.quantizers.Quantizer, or pass an instance."
        )
    required = required_arguments(cls)
    if required:
        example = ", ".join(
            f"{argument}=1" if argument == "precision" else f"{argument}=..."
            for argument in required
        )
        raise QuantizerError(
            f'quantizer "{name}": {cls.__name__} needs {" and ".join(required)}, which a '
            f"name cannot give.\n  Fix: pass lq.quantizers.{cls.__name__}({example})."
        )
    return cls()


def get_kernel_quantizer(identifier: Any) -> Any:
    """`get` for a kernel: adds the metrics of the scope, and warns of unfit choices.

    Args:
        identifier: as for `get`.

    Returns:
        As `get`. A Quantizer without metrics of its own takes the names of the
        current `lq.context.metrics_scope`.
    """
    quantizer = get(identifier)
    if not isinstance(quantizer, Quantizer):
        return quantizer
    if quantizer._metric_names is None and context.get_training_metrics():
        quantizer._metric_names = tuple(sorted(context.get_training_metrics()))
    if getattr(quantizer, "mode", None) == "activations":
        bits = "k_bit" if hasattr(quantizer, "k_bit") else "bits"
        ends = "to [0, 1]" if bits == "k_bit" else "what is not negative"
        log.warning(
            '%s "%s" quantizes %s in mode="activations", so a kernel would lose '
            'its negative weights. Fix: %s(%s=%d, mode="weights").',
            type(quantizer).__name__,
            quantizer.name,
            ends,
            type(quantizer).__name__,
            bits,
            quantizer.precision,
        )
    return quantizer


def serialize(quantizer, use_legacy_format: bool = False):
    """The configuration of a quantizer, from which `deserialize` makes an equal one.

    Args:
        quantizer: a quantizer or registered function.
        use_legacy_format: whether to write the dictionary that `.h5` files use.

    Returns:
        A JSON-able dictionary (a string for a function in the legacy format).

    Example:
        >>> lq.quantizers.serialize(lq.quantizers.SteSign(0.5))["registered_name"]
        'larqlite>SteSign'
    """
    if use_legacy_format:
        return tf_keras.utils.legacy.serialize_keras_object(quantizer)
    return tf_keras.saving.serialize_keras_object(quantizer)


def deserialize(name, custom_objects=None, use_legacy_format: bool = False):
    """The quantizer that `serialize`, of this library or of Larq, described.

    Args:
        name: a dictionary of either format, or a string.
        custom_objects: names mapped to classes or functions, asked first.
        use_legacy_format: accepted for symmetry; the format is recognised.

    Returns:
        A quantizer or function.

    Raises:
        UnknownQuantizerError: nothing is known by that name.

    Example:
        >>> config = lq.quantizers.serialize(lq.quantizers.SteSign(0.5))
        >>> lq.quantizers.deserialize(config).clip_value
        0.5
    """
    with tf_keras.saving.custom_object_scope(custom_objects or {}):
        if not isinstance(name, dict):
            return get((custom_objects or {}).get(name, name))
        return _from_config(name, custom_objects or {})


def _from_config(config: dict, custom_objects: dict):
    class_name = config.get("class_name")
    if class_name is None or "config" not in config:
        raise UnknownQuantizerError(
            f"lq.quantizers.deserialize: no class_name and config in {config!r}."
        )
    if class_name == "function":
        class_name = config.get("registered_name") or config["config"]
    for candidate in (config.get("registered_name"), class_name):
        target = _find_target(candidate, custom_objects)
        if inspect.isclass(target):
            return target.from_config(dict(config["config"]))
        if target is not None:
            return target
    if config.get("module") is None:
        raise unknown_quantizer(class_name)
    try:
        return tf_keras.saving.deserialize_keras_object(config)
    except (TypeError, ImportError) as error:
        raise unknown_quantizer(class_name) from error


def _find_target(name: str | None, custom_objects: dict):
    if name is None:
        return None
    package, _, bare_name = name.rpartition(">")
    if bare_name in custom_objects:
        return custom_objects[bare_name]
    if package in ("", PACKAGE, *FOREIGN_PACKAGES) and find(bare_name):
        entry = find(bare_name)
        is_class_name = inspect.isclass(entry.target) and not (
            entry.function is not None and bare_name == entry.name
        )
        return entry.target if is_class_name else entry.function
    return tf_keras.saving.get_registered_object(name)
