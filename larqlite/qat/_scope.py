"""The scope in which files with quantization-aware layers of one's own are loaded."""

from __future__ import annotations

import contextlib
from typing import Any

import tf_keras

from larqlite._registration import PACKAGE
from larqlite.errors import ArgumentError
from larqlite.qat.wrapper import QuantizeWrapper

__all__ = ["quantize_scope"]

PREFIX = f"{PACKAGE}>"  # of the names that files carry


def quantize_scope(*args: dict[str, Any]) -> contextlib.AbstractContextManager:
    """A scope in which Keras knows larqlite.qat's classes and those given.

    Only needed to load a file with classes of your own that are not registered with
    Keras; `larqlite.qat`'s own are known wherever it is imported. But Keras writes those of
    a Sequential model inside of another one into an `.h5` file by bare names, which this
    scope and `lq.models.load` know.

    Args:
        *args: dictionaries `{name: class or function}`.

    Returns:
        A context manager.

    Raises:
        ArgumentError: an argument is no dictionary.

    Example:
        >>> class MyDense(tf_keras.layers.Dense):
        ...     pass
        >>> with lq.qat.quantize_scope({"MyDense": MyDense}):
        ...     config = {"class_name": "MyDense", "config": {"units": 2}}
        ...     type(tf_keras.layers.deserialize(config)).__name__
        'MyDense'
    """
    objects = {
        name.removeprefix(PREFIX): known
        for name, known in tf_keras.saving.get_custom_objects().items()
        if name.startswith(PREFIX) and known.__module__.startswith("larqlite.qat.")
    }
    objects["QuantizeWrapper"] = QuantizeWrapper
    for given in args:
        if not isinstance(given, dict):
            raise ArgumentError(
                "lq.qat.quantize_scope: expected dictionaries {name: class}, got "
                f"{given!r}.\n  Fix: quantize_scope({{'MyLayer': MyLayer}})."
            )
        objects.update(given)
    return tf_keras.saving.custom_object_scope(objects)
