"""A hyperparameter as an optimizer keeps it: a number in a variable, or a schedule."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError, require_tf_keras

Schedule = tf_keras.optimizers.schedules.LearningRateSchedule


def parsed(
    value, highest: float, where: str, step: tf.Variable
) -> tuple[Schedule | None, float | tf.Tensor]:
    """The schedule, if `value` is one, and the number that holds at `step`.

    Args:
        value: a number in [0, highest], or a schedule.
        highest: the upper bound, or infinity.
        where: the optimizer and the hyperparameter, for messages.
        step: the step count of the optimizer.

    Raises:
        ArgumentError: neither a number in the range nor a schedule.
        KerasVersionError: a schedule of Keras 3.
    """
    require_tf_keras(value, where)
    if isinstance(value, Schedule):
        with tf.init_scope():
            return value, value(step)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= highest or math.isinf(number):
        bounds = "that is at least 0" if math.isinf(highest) else f"in [0, {highest:g}]"
        raise ArgumentError(
            f"{where}: got {value!r}.\n  Fix: pass a number {bounds} or a "
            "tf_keras.optimizers.schedules.LearningRateSchedule."
        )
    return None, number


def scalar_variable(name: str, value: float | tf.Tensor) -> tf.Variable:
    """The variable that holds the value in use, in every replica the same."""
    with tf.init_scope():
        return tf.Variable(
            tf.cast(value, tf_keras.backend.floatx()),
            name=name,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )


def serialized(schedule: Schedule | None, variable: tf.Variable) -> dict | float:
    """The schedule as a dictionary, or the number in the variable."""
    if schedule is not None:
        return tf_keras.optimizers.schedules.serialize(schedule)
    # The shortest number that reads back as the same float32: 0.0001, as typed.
    return float(np.format_float_scientific(variable.numpy()))


def deserialized(config: dict, custom_objects: dict | None) -> Schedule:
    """The schedule of a dictionary, as new and old files of Keras write it."""
    return tf_keras.optimizers.schedules.deserialize(
        config,
        custom_objects=custom_objects,
        use_legacy_format="module" not in config,
    )
