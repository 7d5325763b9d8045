"""What tests of `from_keras` share: models of Keras 3, numbers, a comparison."""

from __future__ import annotations

import keras
import numpy as np

K = keras.layers


def randomized(model, seed=0):
    """The model with random numbers in all of its weights, variances above 0."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if str(weight.dtype).startswith("float"):
            value = rng.normal(size=weight.shape) * 0.5
            weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)
    return model


def randomized_as_trained(model, seed=0):
    """The model with other statistics, scales and biases, so that what differs shows and
    numbers stay of one size; kernels as they were initialized."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance", "scale"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(0.1 * rng.normal(size=weight.shape))
    return model


def cnn():
    return randomized(
        keras.Sequential(
            [
                keras.Input((8, 8, 3), name="image"),
                K.Conv2D(4, 3, activation="hard_sigmoid", name="first"),
                K.BatchNormalization(name="norm"),
                K.LeakyReLU(0.1),
                K.Flatten(),
                K.Dense(5, "softmax", name="last"),
            ],
            name="cnn",
        )
    )


def noise(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def equal(ours, theirs, values):
    """Asserts that both models give out the same for the same values."""
    given = ours(values, training=False)
    expected = theirs(values, training=False)
    flat, reference = keras.tree.flatten(given), keras.tree.flatten(expected)
    assert len(flat) == len(reference)
    for a, b in zip(flat, reference, strict=True):
        a, b = np.asarray(a), np.asarray(keras.ops.convert_to_numpy(b))
        if a.dtype.kind in "fc":
            scale = np.abs(b).max(initial=0) or 1.0
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale)
        else:
            np.testing.assert_array_equal(a, b)
