"""Activations in a file: every function and layer against Keras."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

import larqlite as lq
from larqlite.errors import UnsupportedLayerError
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import (
    assert_same,
    export,
    sequential,
    stored_channels_first,
)

layers = tf_keras.layers
IMAGE = (4, 5, 6)

FUNCTIONS = [
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "hard_sigmoid",
    "softmax",
    "log_softmax",
    "softplus",
    "softsign",
    "swish",
    "silu",
    "gelu",
    "selu",
    "elu",
    "exponential",
    "linear",
    "leaky_relu",
    "mish",
    "hard_tanh",
    "hard_sigmoid6",
    "hard_swish",
    "leaky_tanh",
]

LAYERS = {
    "ReLU": lambda: layers.ReLU(),
    "ReLU with a highest value": lambda: layers.ReLU(max_value=1.0),
    "LeakyReLU": lambda: layers.LeakyReLU(),
    "ELU": lambda: layers.ELU(0.5),
    "ThresholdedReLU": lambda: layers.ThresholdedReLU(0.7),
    "PReLU": lambda: layers.PReLU(),
    "PReLU of channels": lambda: layers.PReLU(shared_axes=[1, 2]),
    "PReLU of rows": lambda: layers.PReLU(shared_axes=[2, 3]),
    "Softmax": lambda: layers.Softmax(),
    "Softmax of rows": lambda: layers.Softmax(axis=1),
    "RPReLU": lambda: lq.layers.RPReLU(),
    "RPReLU of rows": lambda: lq.layers.RPReLU(axis=1),
    "TwoSlopeReLU": lambda: lq.layers.TwoSlopeReLU(),
    "TwoSlopeReLU of columns": lambda: lq.layers.TwoSlopeReLU(axis=-2),
}


@pytest.mark.parametrize(
    ("name", "order"), in_turn(FUNCTIONS, ["as in Keras", "channels first"])
)
def test_a_function(name, order):
    before = stored_channels_first(IMAGE) if order == "channels first" else []
    assert_same(sequential(IMAGE, *before, layers.Activation(name)))


@pytest.mark.parametrize(
    ("name", "order"), in_turn(LAYERS, ["as in Keras", "channels first"])
)
def test_a_layer(name, order):
    before = stored_channels_first(IMAGE) if order == "channels first" else []
    assert_same(sequential(IMAGE, *before, LAYERS[name]()))


@pytest.mark.parametrize("name", ["relu", "tanh", "leaky_tanh", "softmax", "linear"])
def test_a_function_as_the_activation_of_another_layer(name):
    assert_same(
        sequential(
            (6, 6, 3),
            layers.Conv2D(4, 3, activation=name),
            layers.SeparableConv2D(3, 2, activation=name),
            layers.Flatten(),
            layers.Dense(5, activation=name),
        )
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_as_the_activation_of_another_one(name):
    layer = layers.Conv2D(6, 1, activation=LAYERS[name]())
    assert_same(sequential(IMAGE, layer))


@pytest.mark.parametrize(
    "function", [tf.nn.relu, tf.nn.silu, tf.nn.gelu, tf.tanh, tf.nn.elu, tf.exp]
)
def test_a_function_of_tensorflow(function):
    assert_same(sequential(IMAGE, layers.Activation(function)))


@settings(max_examples=25, deadline=None)
@given(
    st.none() | st.sampled_from([1.0, 6.0, 2.5]),
    st.sampled_from([0.0, 0.1, 1.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_relu_with_any_of_its_arguments(highest, slope, threshold):
    layer = layers.ReLU(max_value=highest, negative_slope=slope, threshold=threshold)
    assert_same(sequential((5,), layer))


def test_a_sign_of_activations_goes_to_the_quantizers():
    ops = assert_same(sequential((5,), layers.Activation("ste_sign")))
    assert ops == ["Sign"]


def test_a_softmax_with_a_mask_is_refused():
    x, mask = tf_keras.Input((4,)), tf_keras.Input((4,))
    model = tf_keras.Model([x, mask], layers.Softmax()(x, mask=mask))
    with pytest.raises(UnsupportedLayerError, match="called with a mask"):
        export(model)


def my_wave(x):
    return tf.sin(x)


def test_an_unknown_function_is_refused_with_its_place_and_the_way_out():
    model = sequential((3,), layers.Dense(2, activation=my_wave, name="head"))
    with pytest.raises(UnsupportedLayerError) as error:
        export(model)
    assert '"head": there is no converter for the activation `my_wave`' in str(
        error.value
    )
    assert "@lq.deploy.activation_converter(my_wave)" in str(error.value)


def test_a_function_with_fixed_arguments_is_refused_not_taken_for_the_bare_one():
    sharp = functools.partial(tf_keras.activations.relu, alpha=0.5)
    model = sequential((3,), layers.Dense(2, activation=sharp))
    with pytest.raises(UnsupportedLayerError, match="no converter for the activation"):
        export(model)


def test_a_function_that_was_taught_is_used():
    @lq.deploy.activation_converter(my_wave)
    def convert(graph, function, value):
        name = graph.node("Sin", [value.name])
        return graph.value(name, value.shape, like=value)

    ops = assert_same(sequential((3,), layers.Dense(2, activation=my_wave)))
    assert ops == ["Gemm", "Sin"]


def test_zeros_and_large_numbers_keep_their_signs():
    x = np.array([[-0.0, 0.0, 1e-30, -1e-30, 1e30, -1e30]], np.float32)
    for name in ("relu", "relu6", "leaky_relu", "hard_tanh", "elu"):
        model = sequential((6,), layers.Activation(name))
        assert_same(model, [x])
