"""Copies of models that were trained in other floats, as a whole or in some layers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common.eager import quantize, quantize_model
from tests.copies.networks import L, with_weights

POLICIES = ("float16", "mixed_float16", "mixed_bfloat16", "bfloat16", "float64")
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in POLICIES[1:]]
STEPS = {"float64": 1e-6, "float16": 1e-2, "bfloat16": 4e-2}


def network(dtype, final=None):
    return with_weights(
        tf_keras.Sequential(
            [
                tf_keras.Input((6, 6, 2)),
                L.Conv2D(4, 3, use_bias=False, dtype=dtype),
                L.BatchNormalization(dtype=dtype),
                L.ReLU(dtype=dtype),
                L.Conv2D(4, 3, groups=4, activation="relu", dtype=dtype),
                L.SeparableConv2D(4, 2, dtype=dtype),
                L.Flatten(),
                L.Dense(3, dtype=final or dtype, name="last"),
            ]
        ),
        seed=1,
    )


def images():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (16, 6, 6, 2)).astype("float32")


def largest_difference(a, b):
    a, b = (np.asarray(tf.cast(y, "float64")) for y in (a, b))
    return np.abs(a - b).max() / np.abs(a).max()


@pytest.mark.parametrize("dtype", [POLICIES[0], *OTHERS])
def test_layers_of_any_float_are_copied_and_quantized(dtype):
    x = images() / np.float32(256)
    model = network(dtype, final="float32")
    dtypes = [layer.dtype_policy.name for layer in model.layers]
    frozen = lq.models.freeze(model)
    assert [layer.dtype_policy.name for layer in frozen.layers] == dtypes
    assert [w.dtype for w in frozen.weights] == [w.dtype for w in model.weights]
    assert largest_difference(model(x), frozen(x)) == 0
    step = STEPS[dtype.removeprefix("mixed_")]
    sane = lq.integer.models.transforms.sanitize(model)
    assert largest_difference(model(x), sane(x)) < step
    quantized = quantize_model(model, calibrate=x)
    assert largest_difference(model(x), quantized(x)) < 0.1 + step


@pytest.mark.parametrize("dtype", [POLICIES[0], *OTHERS])
def test_integers_of_layers_of_any_float(dtype):
    x = images()
    integers = quantize(network(dtype), samples=x)
    assert largest_difference(network("float32")(x), integers(x)) < 0.1


@pytest.mark.parametrize(
    "policy",
    ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)],
)
def test_under_a_policy_of_all_layers(policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        x = images()
        model = network(None)
        expected = model(x)
        integers = quantize(model, samples=x)
        assert largest_difference(expected, integers(x)) < 0.1
        assert largest_difference(expected, lq.models.freeze(model)(x)) == 0
        quantized = quantize_model(model, scheme="int8", calibrate=x)
        assert largest_difference(expected, quantized(x)) < 0.15
        # A float tail computes as it was trained.
        inputs = tf_keras.Input((6,))
        hidden = L.Dense(8, activation="relu")(inputs)
        tail = L.LayerNormalization(name="tail")(hidden)
        model = tf_keras.Model(inputs, L.Dense(2)(tf.sin(tail)))
        y = x.reshape(16, -1)[:, :6]
        with pytest.warns(UserWarning, match="stays float"):
            integers = quantize(model, samples=y)
        assert integers.get_layer("dense_1").compute_dtype == policy[6:]
        a, b = (np.float32(m(y)).ravel() for m in (model, integers))
        assert np.corrcoef(a, b)[0, 1] > 0.98
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
