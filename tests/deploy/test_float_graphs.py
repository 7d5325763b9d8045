"""Random networks of float layers: the file on a stock ONNX Runtime against Keras."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import example, given, settings, strategies as st

from tests.deploy.keras_and_file import assert_same, random_inputs, with_random_weights

layers = tf_keras.layers

# Each takes a generator of random numbers and an image, and gives another image.
STEPS = (
    lambda rng, x: layers.Conv2D(
        4, int(rng.integers(1, 4)), strides=int(rng.integers(1, 3)), padding="same",
        activation="relu",
    )(x),
    lambda rng, x: layers.Conv2D(6, 2, padding="same", groups=_divisor(x))(x),
    lambda rng, x: layers.DepthwiseConv2D(3, padding="same")(x),
    lambda rng, x: layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x),
    lambda rng, x: layers.BatchNormalization()(x),
    lambda rng, x: layers.LayerNormalization()(x),
    lambda rng, x: layers.PReLU(shared_axes=[1, 2])(x),
    lambda rng, x: layers.Activation(str(rng.choice(["tanh", "swish", "softmax"])))(x),
    lambda rng, x: layers.MaxPooling2D(2, strides=1, padding="same")(x),
    lambda rng, x: layers.AveragePooling2D(3, strides=2, padding="same")(x),
    lambda rng, x: layers.ZeroPadding2D(1)(x),
    lambda rng, x: layers.UpSampling2D(2)(x),
    lambda rng, x: layers.Permute((2, 1, 3))(x),
    lambda rng, x: layers.Permute((3, 2, 1))(x),
    lambda rng, x: layers.Dense(5)(x),
    lambda rng, x: layers.Concatenate()([x, x]),
    lambda rng, x: layers.Add()([x, layers.Conv2D(x.shape[-1], 1)(x)]),
    lambda rng, x: layers.Multiply()([x, _gate(x)]),
    lambda rng, x: layers.Reshape((x.shape[2], x.shape[1], x.shape[3]))(x),
    lambda rng, x: 1 - x * 0.5,
    lambda rng, x: x[:, :, ::-1],
)  # fmt: skip
ENDS = (
    lambda rng, x: x,
    lambda rng, x: layers.Dense(3)(layers.Flatten()(x)),
    lambda rng, x: layers.Dense(3)(layers.GlobalAveragePooling2D()(x)),
    lambda rng, x: layers.Softmax()(layers.GlobalMaxPooling2D()(x)),
)


def _divisor(x) -> int:
    return next(n for n in (3, 2, 1) if x.shape[-1] % n == 0)


def _gate(x):
    means = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(x.shape[-1], activation="sigmoid")(means)
    return layers.Reshape((1, 1, x.shape[-1]))(gate)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(4537796)  # channels that a normalization has means of are moved before it
def test_a_random_network(seed):
    _check(seed, largest=6)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(692286675)
def test_a_random_deep_network(seed):
    _check(seed, largest=14)


def _check(seed: int, largest: int) -> None:
    """Builds a network of up to so many steps, with a second branch now and then."""
    tf_keras.backend.reset_uids()
    rng = np.random.default_rng(seed)
    image = tf_keras.Input((int(rng.integers(4, 9)), int(rng.integers(4, 9)), 3))
    x, seen = image, [image]
    for _ in range(rng.integers(1, largest + 1)):
        if np.prod(x.shape[1:]) > 4000:
            x = layers.AveragePooling2D(2, padding="same")(x)
        x = STEPS[rng.integers(len(STEPS))](rng, x)
        alike = [other for other in seen if other.shape[1:] == x.shape[1:]]
        if alike and rng.random() < 0.3:
            x = layers.Average()([x, alike[-1]])
        seen.append(x)
    outputs = [ENDS[rng.integers(len(ENDS))](rng, x)]
    if rng.random() < 0.3:
        outputs.append(seen[rng.integers(len(seen))])
    model = with_random_weights(tf_keras.Model(image, outputs))
    # Rounding adds up along the network, and softmax and means cancel what is common.
    assert_same(
        model, tolerance=1e-5 + 3 * (_sensitivity(model) if largest > 6 else 0.0)
    )


def _sensitivity(model: tf_keras.Model) -> float:
    """How far Keras' own outputs move, relative to the largest, with inputs an ulp beside.

    A normalization of channels whose values are nearly equal makes 3e-5 of it (seed 692286675),
    so that no order of sums is right to 1e-5.
    """
    (x,) = random_inputs(model)
    before = [np.asarray(y) for y in tf.nest.flatten(model(x, training=False))]
    moved = 0.0
    for side in (-np.inf, np.inf):
        after = tf.nest.flatten(
            model(np.nextafter(x, np.float32(side)), training=False)
        )
        for a, b in zip(after, before, strict=True):
            moved = max(moved, np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
    return moved
