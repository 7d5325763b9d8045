"""A new layer of the same class and configuration as another one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies._parts import parts
from larqlite.errors import LarqliteError, UnsupportedModelError

Layer = tf_keras.layers.Layer

_FAILURES = (AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


def layer_like(layer: Layer, where: str, changes: Mapping | None = None) -> Layer:
    """A new layer of the same class and configuration (but `changes`), without weights.

    Args:
        layer: the layer; it is not called or changed.
        where: the public function on whose behalf it is copied, for messages.
        changes: settings of the configuration that are different.

    Raises:
        UnsupportedModelError: the class cannot be made from its configuration.
    """
    changes = dict(changes or {})
    if isinstance(layer, tf_keras.layers.InputLayer):
        changes.setdefault("batch_input_shape", _known_shape(layer))
    try:
        with tf_keras.saving.custom_object_scope(dict(_functions_of(layer))):
            made = _made(layer, {**config_of(layer), **changes})
    except LarqliteError:
        raise
    except _FAILURES as error:
        # Keras puts the whole configuration before what went wrong.
        reason = str(error).rpartition("Exception encountered: ")[2].strip()
        raise UnsupportedModelError(
            f'{where}: unable to clone the layer "{layer.name}" '
            f"({type(layer).__name__}): {reason.partition(chr(10))[0]}\n"
            "  Fix: give the class a get_config with the arguments of its __init__; "
            "objects in it that Keras does not know go into "
            "`with lq.qat.quantize_scope({'MyObject': MyObject}):` around the call."
        ) from error
    for old, new in zip(parts(layer), parts(made), strict=False):
        if isinstance(old, tf_keras.layers.Discretization) and type(new) is type(old):
            # How many there are is the length of a one-hot output, before weights come.
            new.bin_boundaries = list(old.bin_boundaries)
    # Every layer takes one, and few write it into their configuration.
    penalty = changes.get("activity_regularizer", layer.activity_regularizer)
    if penalty is not None and made.activity_regularizer is None:
        made.activity_regularizer = penalty
    return made


def _known_shape(source: tf_keras.layers.InputLayer) -> tuple:
    """The shape of an input, with what a normalization that reads it knows of it.

    `adapt` tells Keras the number of axes only, from which nothing can be built anew.
    """
    shape = list(source.get_config()["batch_input_shape"])
    for node in source.outbound_nodes:
        reader = node.layer
        if isinstance(reader, tf_keras.layers.Normalization) and reader.built:
            for axis in reader.axis:
                shape[axis] = shape[axis] or reader.mean.shape[axis]
    return tuple(shape)


def config_of(layer: Layer) -> dict:
    """The configuration of a layer, with lambdas as they are: no name leads to them."""
    with warnings.catch_warnings():
        # Keras warns of lambdas in files; nothing is written here.
        warnings.filterwarnings("ignore", message=".*lambda", category=UserWarning)
        config = dict(layer.get_config())
    if type(layer) is tf_keras.layers.Lambda or not _is_known(type(layer)):
        return config
    for key in config:
        held = getattr(layer, key, None)
        if getattr(held, "__name__", "") == "<lambda>":
            config[key] = held
    return config


def _made(layer: Layer, config: dict) -> Layer:
    if vars(layer).get("_autocast") is False:
        try:
            return type(layer).from_config({**config, "autocast": False})
        except TypeError:
            pass  # the class says so itself, and takes no such argument
    return type(layer).from_config(config)


def _is_known(cls: type) -> bool:
    return cls.__module__.startswith(("tf_keras.", "larqlite."))


def _functions_of(layer: Layer) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a layer holds, by the names that a config gives them."""
    for value in vars(layer).values():
        name = getattr(value, "__name__", None) or type(value).__name__
        if callable(value) and not isinstance(value, (tf.Variable, Layer)):
            yield name, value if hasattr(value, "__name__") else type(value)
