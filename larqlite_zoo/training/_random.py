"""Random layers whose state is in variables, so that a checkpoint can hold it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

_keras = tf_keras.backend.experimental


STATE = "StateVar"  # how tf.random.Generator calls its variable


@contextlib.contextmanager
def random_state(states: list[tf.Variable]) -> Iterator[None]:
    """Within the block, new Dropout layers and their like have generators of their own.

    By default their random numbers come from operations with a hidden counter, which no
    checkpoint knows, so a resumed run would draw others. A generator's counter is a
    variable, though none of the model's weights.

    Args:
        states: gets the variable of every generator that is made in the block.
    """

    def remember(create, **arguments):
        variable = create(**arguments)
        if STATE in variable.name:
            states.append(variable)
        return variable

    before = _keras.is_tf_random_generator_enabled()
    _keras.enable_tf_random_generator()
    try:
        with tf.variable_creator_scope(remember):
            yield
    finally:
        if not before:
            _keras.disable_tf_random_generator()
