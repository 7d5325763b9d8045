"""Models drawn at random: quantized, near to float, saved and loaded as they are."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.common.eager import quantize_model

layers = tf_keras.layers

# Each takes tensors (batch, 4, 4, 4) and gives one.
ONE = {
    "conv": lambda: layers.Conv2D(4, 3, padding="same"),
    "conv_relu": lambda: layers.Conv2D(4, 1, activation="relu"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "separable": lambda: layers.SeparableConv2D(4, 3, padding="same"),
    "dense": lambda: layers.Dense(4, activation="tanh"),
    "bn": lambda: layers.BatchNormalization(),
    "ln": lambda: layers.LayerNormalization(),
    "relu": lambda: layers.ReLU(),
    "relu6": lambda: layers.ReLU(6.0),
    "swish": lambda: layers.Activation("swish"),
    "prelu": lambda: layers.PReLU(),
    "pool": lambda: layers.AveragePooling2D(2, 1, "same"),
    "max": lambda: layers.MaxPooling2D(2, 1, "same"),
    "dropout": lambda: layers.Dropout(0.1),
    "half": lambda: lambda x: 0.5 * x,
    "nested": lambda: tf_keras.Sequential(
        [layers.Conv2D(4, 1, input_shape=(4, 4, 4)), layers.ReLU()]
    ),
}
TWO = {
    "add": lambda: layers.Add(),
    "subtract": lambda: layers.Subtract(),
    "multiply": lambda: layers.Multiply(),
    "plus": lambda: lambda pair: pair[0] + pair[1],
    "concatenate": lambda: (
        lambda pair: layers.Conv2D(4, 1)(layers.Concatenate()(list(pair)))
    ),
}


@st.composite
def recipes(draw):
    """Steps: the name of what is applied, and which earlier tensors it is applied to."""
    steps = []
    for count in range(1, draw(st.integers(2, 7)) + 1):
        name = draw(st.sampled_from([*ONE, *TWO, *TWO]))
        places = st.integers(max(0, count - 3), count - 1)
        steps.append((name, draw(places), draw(places)))
    return steps


def built(recipe):
    tensors = [tf_keras.Input((4, 4, 4))]
    shared = {}
    for name, a, b in recipe:
        if name in TWO:
            tensors.append(TWO[name]()((tensors[a], tensors[b])))
        else:
            # The same name on the same tensor is the same layer, used again.
            key = (name, a)
            shared.setdefault(key, ONE[name]())
            tensors.append(shared[key](tensors[a]))
    outputs = [tensors[-1]] if len(recipe) % 3 else tensors[-2:]
    return tf_keras.Model(tensors[0], outputs)


def check(recipe):
    tf_keras.backend.clear_session()
    model = built(recipe)
    x = np.random.default_rng(len(recipe)).uniform(-1, 1, (16, 4, 4, 4))
    x = x.astype("float32")
    kept = model.get_weights()
    expected = [np.asarray(t) for t in tf.nest.flatten(model(x))]
    errors = {}
    for scheme in ("int8", "int12"):
        quantized = quantize_model(model, scheme=scheme, calibrate=x)
        found = [np.asarray(t) for t in tf.nest.flatten(quantized(x, training=False))]
        errors[scheme] = max(
            np.abs(a - b).mean() / (np.ptp(np.append(a, 0)) + 1e-9)
            for a, b in zip(expected, found, strict=True)
        )
        for layer in quantized.submodules:
            assert not isinstance(layer, layers_lambda)
    # 4 bits are a factor of 16; a ReLU or a product may take or give something.
    assert errors["int8"] < 0.05
    assert errors["int12"] < max(errors["int8"] / 4, 1e-5)
    for before, after in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    sizes = sorted(w.shape.as_list() for w in model.trainable_weights)
    assert sorted(w.shape.as_list() for w in quantized.trainable_weights) == sizes
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".keras", ".h5")[len(recipe) % 2 :][:1]:
            path = Path(folder) / f"model{ending}"
            quantized.save(path)
            loaded = tf_keras.models.load_model(path)
        again = [np.asarray(t) for t in tf.nest.flatten(loaded(x, training=False))]
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)


layers_lambda = layers.Lambda
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=6, **QUIET)
@given(recipes())
def test_a_random_model_is_near_to_float_and_its_file_is_the_same(recipe):
    check(recipe)


@pytest.mark.slow
@settings(max_examples=60, **QUIET)
@given(recipes())
def test_many_random_models_are_near_to_float_and_their_files_the_same(recipe):
    check(recipe)
