"""The same bits every time: sums of a fixed order, random layers that a checkpoint holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

_keras = tf_keras.backend.experimental

STATE = "StateVar"  # how tf.random.Generator calls its variable


def make_deterministic() -> None:
    """Makes TensorFlow, in the whole of this process, give the same bits every time.

    What `lqz train` does unless told otherwise. It chooses kernels whose sums have a fixed
    order (`tf.config.experimental.enable_op_determinism`), and switches off the graph
    optimizer, which orders some additions by the addresses of its tables, and these differ
    from one process to the next (seen with a student and its teacher; a step takes 0 to 5 %
    more without it). Random operations need a seed from then on.

    Call it before a model is built; it cannot be taken back.

    Example:
        >>> from larqlite_zoo import training
        >>> training.make_deterministic()  # doctest: +SKIP

    References:
        https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_op_determinism
    """
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


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
