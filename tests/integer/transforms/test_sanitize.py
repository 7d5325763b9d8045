"""All transforms one after another, on models as people build them and drawn at random."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import HealthCheck, given, settings, strategies as st

from larqlite.integer.models.transforms import sanitize
from tests.integer.transforms.helpers import (
    check_equal,
    inputs_of,
    kinds,
    layers,
    randomized,
    transformed,
)


def sequential(shape, *parts):
    return randomized(tf_keras.Sequential([tf_keras.Input(shape), *parts]))


def test_a_convolutional_network_becomes_blocks_of_kernel_pooling_and_relu():
    model = sequential(
        (16, 16, 3),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(8, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(),
        layers.ZeroPadding2D(((0, 1), (0, 1))),
        layers.DepthwiseConv2D(3, 2, use_bias=False),
        layers.BatchNormalization(scale=False),
        layers.ReLU(6.0),
        layers.Conv2D(8, 1),
        layers.MaxPooling2D(),
        layers.BatchNormalization(),
        layers.Lambda(tf.nn.relu),
        layers.GlobalAveragePooling2D(),
        layers.Reshape((2, 4)),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    )
    new = transformed(sanitize, model)
    assert kinds(new) == [
        *["Rescaling", "PaddedConv2D", "MaxPooling2D", "ReLU"],
        *["DepthwiseConv2D", "ReLU", "Conv2D", "MaxPooling2D", "ReLU"],
        *["GlobalAveragePooling2D", "Dense", "Activation"],
    ]
    assert new.layers[4].padding == "same"


def test_a_normalization_folds_wherever_that_is_exact():
    def model(*middle):
        return sequential((8, 8, 2), layers.Conv2D(3, 3), *middle)

    relu, norm, pool = layers.ReLU, layers.BatchNormalization, layers.MaxPooling2D
    assert kinds(transformed(sanitize, model(pool(), norm(), relu()))) == [
        *["Conv2D", "MaxPooling2D", "ReLU"]
    ]
    assert kinds(transformed(sanitize, model(norm(), relu(), pool()))) == [
        *["Conv2D", "MaxPooling2D", "ReLU"]
    ]
    # relu(x) a + b is no relu of anything linear in x: that one stays, after the pooling.
    assert kinds(transformed(sanitize, model(relu(), pool(), norm()))) == [
        *["Conv2D", "MaxPooling2D", "ReLU", "BatchNormalization"]
    ]
    done = model(relu(), norm())
    assert sanitize(done) is done


def test_a_residual_network_with_nested_blocks_is_unfolded_and_folded():
    def block():
        x = tf_keras.Input((None, None, 4))
        y = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        y = tf.nn.relu(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(y))
        return tf_keras.Model(x, tf.nn.relu(x + y))

    x = tf_keras.Input((8, 8, 4))
    y = block()(block()(x))
    model = randomized(tf_keras.Model(x, layers.GlobalAveragePooling2D()(y)))
    new = transformed(sanitize, model)
    assert kinds(new) == [
        *["Conv2D", "ReLU", "Conv2D", "Add", "ReLU"] * 2,
        "GlobalAveragePooling2D",
    ]


def test_a_rescaling_before_padding_finds_its_convolution():
    model = sequential(
        (8, 8, 3),
        layers.Rescaling(1 / 127.5, -1),
        layers.ZeroPadding2D(1),
        layers.Conv2D(4, 3),
    )
    assert kinds(transformed(sanitize, model)) == ["Rescaling", "PaddedConv2D"]


def test_applications_of_keras_are_the_same_after_it():
    mobile = tf_keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, classes=5)
    new = transformed(sanitize, randomized(mobile))
    assert "BatchNormalization" not in kinds(new)
    assert "ZeroPadding2D" not in kinds(new)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2), ("float64", 1e-14)],
)
def test_dtypes_of_layers_stay_as_they_are(policy, tolerance):
    conv = layers.Conv2D(4, 3, activation="relu", dtype=policy)
    model = sequential(
        (8, 8, 3),
        layers.Conv2D(4, 3, padding="same", dtype=policy),
        layers.BatchNormalization(dtype=policy),
        layers.Activation("relu", dtype=policy),
        layers.MaxPooling2D(dtype=policy),
        conv,
    )
    new = sanitize(model)
    check_equal(model, new, tolerance)
    assert kinds(new) == ["Conv2D", "MaxPooling2D", "ReLU", "Conv2D", "ReLU"]
    assert {layer.compute_dtype for layer in new.layers} == {conv.compute_dtype}
    assert new.layers[0].kernel.dtype == model.layers[0].kernel.dtype


def test_layers_that_no_transform_knows_are_left_alone():
    x = tf_keras.Input((5,), dtype="int32")
    y = layers.LSTM(8, return_sequences=True)(layers.Embedding(9, 8, mask_zero=True)(x))
    a, b = tf.split(y, 2, axis=-1)
    y = layers.TimeDistributed(layers.Dense(4, activation="tanh"))(tf.sin(a) - b)
    model = tf_keras.Model(x, layers.PReLU()(y))
    assert sanitize(model) is model


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_what_comes_out_is_saved_and_loaded(ending, tmp_path):
    x = tf_keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, padding="same", name="c")(layers.Rescaling(0.5, -1.0)(x))
    y = tf.nn.relu(layers.BatchNormalization()(y))
    y = tf.reshape(tf.transpose(y, (0, 2, 1, 3)) + tf.nn.relu6(y), (-1, 256))
    model = randomized(tf_keras.Model(x, layers.Dense(3, activation="softmax")(y)))
    new = transformed(sanitize, model)
    new.save(tmp_path / f"model{ending}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{ending}")
    check_equal(new, loaded, tolerance=0, x=inputs_of(model))
    assert [layer.name for layer in loaded.layers] == [
        layer.name for layer in new.layers
    ]


# Models drawn at random.

ONE = {
    "conv": lambda: layers.Conv2D(4, 3, padding="same"),
    "conv_relu": lambda: layers.Conv2D(4, 1, activation="relu"),
    "padded": lambda: tf_keras.Sequential(
        [layers.ZeroPadding2D(1, input_shape=(None, None, 4)), layers.Conv2D(4, 3)]
    ),
    "grouped": lambda: layers.Conv2D(4, 3, padding="same", groups=4, activation="tanh"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "separable": lambda: layers.SeparableConv2D(4, 3, padding="same"),
    "dense": lambda: layers.Dense(4),
    "bn": lambda: layers.BatchNormalization(),
    "bn_plain": lambda: layers.BatchNormalization(scale=False, center=False),
    "relu": lambda: layers.ReLU(),
    "relu6": lambda: layers.Activation("relu6"),
    "relu_op": lambda: tf.nn.relu,
    "turn": lambda: layers.Lambda(lambda x: tf.transpose(x, (0, 2, 1, 3))),
    "average": lambda: layers.AveragePooling2D(2, 1, "same"),
    "max": lambda: layers.MaxPooling2D(2, 1, "same"),
    "dropout": lambda: layers.Dropout(0.1),
    "reshape": lambda: lambda x: tf.reshape(x, (-1, 4, 4, 4)),
    "nested": lambda: tf_keras.Sequential(
        [
            layers.Conv2D(4, 1, input_shape=(4, 4, 4), name="conv"),
            layers.BatchNormalization(name="bn"),
        ]
    ),
}
TWO = {
    "add": lambda: layers.Add(),
    "plus": lambda: lambda pair: pair[0] + pair[1],
    "concatenate": lambda: (
        lambda pair: layers.Conv2D(4, 1)(layers.Concatenate()(list(pair)))
    ),
}


@st.composite
def recipes(draw):
    """Steps: what is applied, and to which earlier tensors."""
    steps = []
    for count in range(1, draw(st.integers(2, 9)) + 1):
        name = draw(st.sampled_from([*ONE, *TWO, *["bn"] * 4, *["max"] * 2]))
        places = st.integers(max(0, count - 2), count - 1)
        steps.append((name, draw(places), draw(places)))
    return steps


def built(recipe):
    tensors, shared = [tf_keras.Input((4, 4, 4))], {}
    for name, a, b in recipe:
        if name in TWO:
            tensors.append(TWO[name]()((tensors[a], tensors[b])))
        else:
            # The same name on a tensor of the same parity is the same layer, used again.
            layer = shared.setdefault((name, a % 3), ONE[name]())
            tensors.append(layer(tensors[a]))
    outputs = [tensors[-1]] if len(recipe) % 3 else tensors[-2:]
    return randomized(tf_keras.Model(tensors[0], outputs))


QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=5, **QUIET)
@given(recipes())
def test_a_random_model_computes_the_same_after_it(recipe):
    check(recipe)


@pytest.mark.slow
@settings(max_examples=250, **QUIET)
@given(recipes())
def test_many_random_models_compute_the_same_after_it(recipe):
    check(recipe)


def check(recipe):
    tf_keras.backend.clear_session()
    model = built(recipe)
    kept = [weight.numpy().copy() for weight in model.weights]
    x = inputs_of(model)
    new = sanitize(model)
    check_equal(model, new, x=x)
    for old, now in zip(kept, model.weights, strict=True):
        np.testing.assert_array_equal(old, now)
    assert not {"Sequential", "Functional"} & set(kinds(new))
    check_equal(new, sanitize(new), x=x)
    # It is a model that can be cloned and trained.
    clone = tf_keras.models.clone_model(new)
    clone.set_weights(new.get_weights())
    check_equal(new, clone, tolerance=0, x=x)
