"""Which weights are rounded up and which down, learned from what a layer gives out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

__all__ = ["LearnedRounding", "learned_rounding"]

# Of the soft rounding: it reaches 0 and 1 at finite values.
ZETA, GAMMA = 1.1, -0.1
# The exponent of the regularizer, from the first step with one to the last.
BETAS = (20.0, 2.0)
_WARM_UP = 0.2
# Outputs of a channel in a batch, and the least and the greatest batch.
_PLACES = 2048
_BATCH = (4, 32)
# A code that is so near to an end of the range is that end.
_NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class LearnedRounding:
    """What was found.

    Attributes:
        weights: on their levels, float32.
        nearest_loss: mean squared error of the outputs with weights rounded to nearest.
        loss: that of `weights`, which is never above it.
    """

    weights: np.ndarray
    nearest_loss: float
    loss: float


def learned_rounding(
    weights,
    codes: tuple,
    outputs_of: Callable[[Any, Any], Any],
    inputs,
    targets,
    *,
    steps: int = 1000,
    batch_size: int | None = None,
    learning_rate: float = 3e-2,
    regularizer: float = 1.0,
    seed: int = 0,
    on_step: Callable[[], None] | None = None,
) -> LearnedRounding:
    r"""Weights rounded up or down so that a layer's outputs come nearest to the targets.

    With the step $s$ and the variables $V$ in the shape of the weights,

    $$ \tilde W = s\, \mathrm{clip}(\lfloor W / s \rfloor + h(V), first, last), \qquad
       h(V) = \mathrm{clip}(\sigma(V) (\zeta - \gamma) + \gamma, 0, 1) $$

    $$ \min_V \; \frac{\lVert y - f(\tilde W, x) \rVert^2}{E_0} +
       \lambda \, \mathrm{mean} (1 - |2 h(V) - 1|^\beta) $$

    by Adam, where $E_0$ is the error of rounding to nearest; the paper has sums in place
    of both normalizations, which make $\lambda$ the same for layers of all sizes. The
    exponent falls from 20 to 2, after a fifth of the steps without the second term. At
    the end $h$ is rounded; if all of it is then worse than rounding to nearest on the
    data, that is taken.

    Args:
        weights: float array.
        codes: `(step, first, last)`, each a number or an array that goes with `weights`.
        outputs_of: from weights (a tensor) and inputs to outputs; differentiable.
        inputs: array or list of arrays, samples first.
        targets: array of outputs, likewise.
        steps: of Adam.
        batch_size: samples in each; by default so many that they have 2,048 outputs of a
            channel, from 4 to 32.
        learning_rate: of Adam.
        regularizer: $\lambda$.
        seed: of the order of samples.
        on_step: called after each step.

    Returns:
        The weights and both errors.

    Example:
        >>> from larqlite.primitives import learned_rounding
        >>> x = np.array([[1.0, 1.0, 1.0]] * 8, "float32")
        >>> w = np.array([[0.45], [0.4], [0.3]], "float32")
        >>> found = learned_rounding(
        ...     w, (1.0, -7, 7), lambda w, x: x @ w, x, x @ w, steps=300)
        >>> float(found.weights.sum())
        1.0

    References:
        AdaRound, https://arxiv.org/abs/2004.10568, eq. 21 to 25.
    """
    weights = np.asarray(weights, np.float32)
    step, first, last = (np.asarray(part, np.float32) for part in codes)
    step = np.where(step > 0, step, 1).astype(np.float32)
    codes = weights / step
    # At the ends of the range there is nothing to choose: weights there are what a
    # range that is found anew from the weights follows.
    is_end = (codes < first + _NEAR) | (codes > last - _NEAR)
    codes = np.where(is_end, np.rint(np.clip(codes, first, last)), codes)
    below = np.floor(codes)
    share = codes - below
    data = tf.nest.map_structure(np.asarray, (inputs, targets))
    targets = data[1]
    count = len(targets)
    if batch_size is None:
        places = int(np.prod(targets.shape[1:-1]))
        batch_size = int(np.clip(_PLACES // max(places, 1), *_BATCH))
    batch_size = min(batch_size, count)
    logits = -np.log((ZETA - GAMMA) / (share - GAMMA) - 1)
    v = tf.Variable(logits.astype(np.float32), name="rounding")
    adam = tf_keras.optimizers.Adam(learning_rate)

    def rounded(h):
        h = tf.where(is_end, 0.0, h)
        return tf.clip_by_value(below + h, first, last) * step

    def soft():
        return tf.clip_by_value(tf.sigmoid(v) * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)

    # Traced by hand: each is one of many of its name, of which TensorFlow would warn.
    of_batch = tf.nest.map_structure(
        lambda part: tf.TensorSpec([None, *part.shape[1:]], part.dtype), data
    )
    number = tf.TensorSpec([], tf.float32)

    def batch_of(indices) -> list:
        return [tf.constant(part[indices]) for part in tf.nest.flatten(data)]

    def error_of(weights, batch):
        x, y = batch
        return tf.reduce_sum(
            tf.reduce_mean(
                tf.math.squared_difference(tf.cast(outputs_of(weights, x), y.dtype), y),
                tf.range(1, tf.rank(y)),
            )
        )

    error = tf.function(error_of, autograph=False).get_concrete_function(
        tf.TensorSpec(weights.shape, tf.float32), of_batch
    )

    def whole_error(weights) -> float:
        parts = np.array_split(np.arange(count), -(-count // batch_size))
        return float(sum(error(weights, *batch_of(part)) for part in parts)) / count

    nearest = rounded(tf.constant(np.where(share >= 0.5, 1, 0), tf.float32))
    nearest_loss = whole_error(nearest)
    if not nearest_loss:
        return LearnedRounding(np.asarray(nearest), 0.0, 0.0)

    def trained(batch, beta, weight):
        with tf.GradientTape() as tape:
            h = soft()
            x, y = batch
            difference = tf.cast(outputs_of(rounded(h), x), y.dtype) - y
            fit = tf.reduce_mean(tf.square(difference)) / nearest_loss
            open_ = tf.reduce_mean(1 - tf.pow(tf.abs(2 * h - 1), beta))
            loss = fit + weight * open_
        adam.apply_gradients([(tape.gradient(loss, v), v)])

    train = tf.function(trained, autograph=False).get_concrete_function(
        of_batch, number, number
    )
    rng = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for step_number in range(steps):
        if len(order) < batch_size:
            order = np.concatenate([order, rng.permutation(count)])
        indices, order = order[:batch_size], order[batch_size:]
        done = max(0.0, (step_number / steps - _WARM_UP) / (1 - _WARM_UP))
        beta = BETAS[1] + (BETAS[0] - BETAS[1]) * 0.5 * (1 + np.cos(np.pi * done))
        weight = regularizer if step_number >= _WARM_UP * steps else 0.0
        train(
            *batch_of(indices),
            tf.constant(beta, tf.float32),
            tf.constant(weight, tf.float32),
        )
        if on_step is not None:
            on_step()
    found = rounded(tf.cast(soft() >= 0.5, tf.float32))
    loss = whole_error(found)
    if loss > nearest_loss:
        found, loss = nearest, nearest_loss
    return LearnedRounding(np.asarray(found), nearest_loss, loss)
