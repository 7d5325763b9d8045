"""Activation functions of Keras 3 that tf_keras lacks or defines otherwise, known by name.

A file that holds one loads after `import larqlite` alone, as all `NamedFunction`s.
"""

from __future__ import annotations

import tensorflow as tf

from larqlite._registration import named_function

# Functions of Keras 3, and what is equal to them in results and defaults.
SAME = {
    **{name: name for name in (
        "linear", "relu", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid",
        "exponential", "softmax", "mish", "gelu",
    )},
    "silu": "swish",
    # tf_keras has another function of that name, or none: they are in lq.activations.
    "hard_sigmoid": "hard_sigmoid6",
    "hard_silu": "hard_swish",
    "hard_tanh": "hard_tanh",
}  # fmt: skip


def equal_of(name: str) -> str | None:
    """What a Keras 3 activation is called in tf_keras, with larqlite; None if it has none."""
    if name in SAME:
        return SAME[name]
    return f"keras3_{name}" if f"keras3_{name}" in globals() else None


@named_function
def keras3_relu6(x):
    """min(max(x, 0), 6)."""
    return tf.nn.relu6(x)


@named_function
def keras3_leaky_relu(x):
    """x, and 0.2 x below 0."""
    return tf.nn.leaky_relu(x, alpha=0.2)


@named_function
def keras3_celu(x):
    """max(x, 0) + exp(min(x, 0)) - 1."""
    return tf.maximum(x, 0) + tf.math.expm1(tf.minimum(x, 0))


@named_function
def keras3_hard_shrink(x):
    """x where its magnitude is above 0.5, else 0."""
    return tf.where(tf.abs(x) > 0.5, x, tf.zeros_like(x))


@named_function
def keras3_soft_shrink(x):
    """x moved towards 0 by 0.5, and 0 where that would pass it."""
    low = tf.where(x < -0.5, x + 0.5, tf.zeros_like(x))
    return tf.where(x > 0.5, x - 0.5, low)


@named_function
def keras3_tanh_shrink(x):
    """x - tanh(x)."""
    return x - tf.math.tanh(x)


@named_function
def keras3_squareplus(x):
    """(x + sqrt(x**2 + 4)) / 2."""
    return (x + tf.sqrt(tf.square(x) + tf.constant(4, x.dtype))) / 2


@named_function
def keras3_sparse_plus(x):
    """0 up to -1, x from 1 on, (x + 1)**2 / 4 between."""
    between = tf.where(x < 1, 0.25 * tf.pow(x + 1, 2), x)
    return tf.where(x <= -1, tf.zeros_like(x), between)


@named_function
def keras3_sparse_sigmoid(x):
    """0 up to -1, 1 from 1 on, (x + 1) / 2 between."""
    between = tf.where(x >= 1, tf.ones_like(x), 0.5 * (x + 1))
    return tf.where(x <= -1, tf.zeros_like(x), between)


@named_function
def keras3_log_sigmoid(x):
    """log(sigmoid(x))."""
    return tf.math.log_sigmoid(x)


@named_function
def keras3_log_softmax(x):
    """log(softmax(x)) along the last axis."""
    return tf.nn.log_softmax(x)


@named_function
def keras3_glu(x):
    """The first half of the last axis times the sigmoid of the second."""
    value, gate = tf.split(x, 2, axis=-1)
    return value * tf.sigmoid(gate)


@named_function
def keras3_sparsemax(x):
    """x minus a threshold, not below 0, along the last axis, as Keras 3 computes it."""
    ordered = tf.sort(x, direction="DESCENDING")
    sums = tf.cumsum(ordered, axis=-1)
    ranks = tf.range(1, tf.shape(x)[-1] + 1, dtype=x.dtype)
    kept = ordered - (sums - 1) / ranks > 0
    count = tf.reduce_sum(tf.cast(kept, x.dtype), axis=-1, keepdims=True)
    # The sum of the running sums, as Keras 3 has it, not of the numbers.
    total = tf.reduce_sum(tf.where(kept, sums, 0), axis=-1, keepdims=True)
    return tf.maximum(x - (total - 1) / count, 0)
