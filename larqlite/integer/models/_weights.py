"""Copying weights between models by the names of variables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError, near_matches

__all__ = ["apply_weights_to_model"]


def short_name(variable: tf.Variable) -> str:
    """A variable's name in its layer: "kernel" for "conv_1/kernel:0"."""
    return variable.name.rpartition("/")[2].partition(":")[0]


def copy_by_name(source: tf_keras.layers.Layer, target: tf_keras.layers.Layer) -> None:
    """Assigns the weights that both layers have under one name."""
    values = {short_name(variable): variable for variable in source.weights}
    for variable in target.weights:
        value = values.get(short_name(variable))
        if value is not None:
            value = tf.cast(tf.reshape(value, variable.shape), variable.dtype)
            variable.assign(value)


def apply_weights_to_model(
    model: tf_keras.Model, weights: Mapping, verbose: bool = True
) -> None:
    """Assigns values to the variables of a model that have their names.

    Variables that `weights` does not name stay as they are. Nothing is assigned when
    one of the shapes is wrong.

    Args:
        model: the model, changed in place.
        weights: values by name of the variable, e.g. `{"dense/kernel:0": array}`.
        verbose: whether to warn of names that the model does not have.

    Raises:
        ArgumentError: (a `ValueError`) for a value of another shape.

    Example:
        >>> model = tf_keras.Sequential(
        ...     [tf_keras.layers.Dense(2, use_bias=False, input_shape=(1,), name="fc")]
        ... )
        >>> weights = {"fc/kernel:0": np.array([[1.0, 2.0]])}
        >>> lq.integer.models.apply_weights_to_model(model, weights)
        >>> model.get_weights()[0].tolist()
        [[1.0, 2.0]]
    """
    known = {variable.name: variable for variable in model.variables}
    assigned, unknown = [], []
    for name, value in weights.items():
        if name not in known:
            unknown.append(name)
            continue
        shape = tuple(getattr(value, "shape", ()))
        if shape != tuple(known[name].shape):
            raise ArgumentError(
                f'apply_weights_to_model: "{name}" has the shape {shape}, but '
                f"{tuple(known[name].shape)} in the model; nothing was assigned.\n"
                "  Fix: pass a value of the variable's shape."
            )
        assigned.append((known[name], value))
    for variable, value in assigned:
        variable.assign(value)
    if unknown and verbose:
        near = near_matches(unknown[0], known)
        warnings.warn(
            f'apply_weights_to_model: "{model.name}" has no variables named '
            f"{unknown}.{near}",
            stacklevel=2,
        )
