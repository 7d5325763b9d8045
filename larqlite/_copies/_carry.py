"""What a layer or model holds, given to its copy."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies._layer import layer_like
from larqlite._copies._parts import (
    children,
    is_functional,
    is_table,
    parts,
    variables_of,
)
from larqlite._copies._state import bookkeeping, carry_attributes, carry_generators
from larqlite.errors import UnsupportedModelError

Layer = tf_keras.layers.Layer


def carry(
    source: Layer,
    target: Layer,
    where: str,
    *,
    changed: Iterable[str] = (),
    read: Callable[[tf.Variable], Any] = tf.convert_to_tensor,
    below: Callable[[Layer], list[Layer]] = children,
) -> None:
    """Gives a built copy the weights of a layer, and its state that is no weight.

    That is: which layers are trainable, the weights, what `finalize_state` makes of them
    (normalizations, bins, vocabularies), states of stateful recurrent layers, random
    generators, and what a class of the user's keeps in attributes.

    Args:
        source: the layer or model; it is not changed.
        target: its copy, as `layer_like` made it; changed in place.
        where: the public function on whose behalf it is copied, for messages.
        changed: settings that are meant to be different in the outermost layer.
        read: what a weight's copy takes.
        below: which layers are directly under one.

    Raises:
        UnsupportedModelError: the two do not hold the same weights, or something that
            cannot be copied. The copy is of no use then.
    """
    pairs = list(zip_longest(parts(source, below), parts(target, below)))
    if not all(map(_are_alike, pairs)):
        if not changed or _kind(source) is not _kind(target):
            raise _unlike(source, where)
        # Layers came or went with the settings, as an activation that is a layer.
        pairs = [(source, target)]
        below = _nothing
    for old, new in pairs:
        # From the outside in, as this sets the flags of what is inside too.
        if new.trainable != old.trainable:
            new.trainable = old.trainable
    for old, new in pairs:
        own = old.weights if below is _nothing else variables_of(old)
        kept = new.weights if below is _nothing else variables_of(new)
        if len(own) != len(kept):
            raise _unlike(source, where)
        for variable, taking in zip(own, kept, strict=True):
            if not _assigned(variable, taking, read):
                raise _unlike(source, where)
    # Weights with penalties have functions among their losses too.
    penalties = any(name.endswith("regularizer") for name in changed)
    for old, new in pairs:
        new.finalize_state()
        _carry_states(old, new)
        if is_functional(old):
            carry_model(old, new, where)
            continue
        if _is_users(type(old)) and type(new) is type(old):
            names = set(changed) if old is source else set()
            if isinstance(old, tf_keras.Model):
                names |= _of_keras()
            carry_attributes(old, new, where, names)
        else:
            carry_generators(old, new)
        _keep_input_spec(old, new)
        if not penalties:
            _say_lost_losses(old, new, where)


def carry_model(source: tf_keras.Model, target: tf_keras.Model, where: str) -> None:
    """Gives a model what another one carries beside its layers.

    Data and metrics that were set as attributes are carried. What is bound to the layers
    of the old model is said by name: they are not in the new one.

    Args:
        source: the model.
        target: a model around new layers.
        where: the public function, for messages.
    """
    known, missing = _of_keras(), []
    is_same_class = type(source) is type(target)
    for name, value in list(vars(source).items()):
        if name in known or name in vars(target) or name.startswith("_self_"):
            continue
        if isinstance(value, tf_keras.metrics.Metric):
            setattr(target, name, layer_like(value, where))
        elif not is_data(value):
            missing += [name]
        elif not name.startswith("_") or is_same_class:
            setattr(target, name, value)
    if is_same_class and _is_users(type(source)):
        carry_attributes(source, target, where, known | set(missing))
        _say_missing(source, missing, where)
    _say_lost_losses(source, target, where)


@functools.cache
def _of_keras() -> frozenset[str]:
    """The attributes that Keras gives a compiled model."""
    inputs = tf_keras.Input((1,), name="larqlite_nothing")
    model = tf_keras.Sequential([inputs], name="larqlite_nothing")
    model.compile("sgd", "mse")
    more = ("loss_weights", "weighted_metrics")
    return frozenset((*vars(model), *more)) | bookkeeping()


def _say_missing(source: tf_keras.Model, names: list[str], where: str) -> None:
    if names:
        warnings.warn(
            f'{where}: the copy of "{source.name}" ({type(source).__name__}) lacks the '
            f"attributes {', '.join(names)}, which are no data.\n"
            "  Fix: set them on the copy, with its own layers (copy.get_layer(name)).",
            stacklevel=2,
        )


def is_data(value: Any) -> bool:
    """Whether a value is numbers, strings and arrays, in lists and dictionaries."""
    leaves = tf.nest.flatten(value)
    return all(
        isinstance(leaf, (bool, int, float, str, np.ndarray, np.generic, tf.Tensor))
        for leaf in leaves
    )


def _kind(layer: Layer) -> type:
    """The class of a layer; a subclass of Model may be copied as a plain one."""
    return tf_keras.Model if isinstance(layer, tf_keras.Model) else type(layer)


def _is_users(cls: type) -> bool:
    return not cls.__module__.startswith(("tf_keras.", "larqlite."))


def _nothing(layer: Layer) -> list[Layer]:
    return []


def _are_alike(pair: tuple) -> bool:
    old, new = pair
    return old is not None and new is not None and _kind(old) is _kind(new)


def _assigned(variable: Any, taking: Any, read: Callable) -> bool:
    """Gives a weight the value of another one; whether it has the shape for it."""
    if is_table(variable):
        tensors = variable.get_tensors()
        if all(len(tensor) for tensor in tensors):
            taking.set_weights(tensors)
        return True
    if not taking.shape.is_compatible_with(variable.shape):
        return False
    value = tf.convert_to_tensor(read(variable))
    taking.assign(
        tf.cast(value, taking.dtype) if value.dtype != taking.dtype else value
    )
    return True


def _unlike(source: Layer, where: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f'{where}: unable to clone the layer "{source.name}" '
        f"({type(source).__name__}): a layer made from its configuration holds other "
        "weights.\n"
        "  Fix: make all weights and layers of the class in __init__ or build, from "
        "arguments that get_config returns."
    )


def _carry_states(old: Layer, new: Layer) -> None:
    """The states of a recurrent layer between batches."""
    if not isinstance(old, tf_keras.layers.RNN) or not old.stateful:
        return
    states = tf.nest.flatten(old.states)
    taking = tf.nest.flatten(new.states)
    if any(state is None for state in (*states, *taking)):
        return
    for state, taken in zip(states, taking, strict=True):
        taken.assign(tf.cast(state, taken.dtype))


def _keep_input_spec(old: Layer, new: Layer) -> None:
    if isinstance(old, tf_keras.Model) or old.input_spec is None:
        return
    if new.input_spec is None:
        new.input_spec = old.input_spec


def _say_lost_losses(old: Layer, new: Layer, where: str) -> None:
    """Functions given to `add_loss` are bound to the weights that they read."""
    held = getattr(old, "_callable_losses", ())
    lost = len(held) - len(getattr(new, "_callable_losses", ()))
    if lost > 0:
        warnings.warn(
            f'{where}: "{old.name}" ({type(old).__name__}) has {lost} loss'
            f"{'es' if lost > 1 else ''} that {'are' if lost > 1 else 'is'} a function "
            "given to add_loss. Its copy has none, as the function reads the weights of "
            "the old one.\n"
            "  Fix: add the loss to the copy, model.add_loss(lambda: ...), or use a "
            "regularizer.",
            stacklevel=2,
        )
