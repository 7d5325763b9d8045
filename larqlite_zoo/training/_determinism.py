"""Making a process compute the same bits every time."""

from __future__ import annotations

import tensorflow as tf


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
