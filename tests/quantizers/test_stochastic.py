"""Quantizers that draw in training: their probabilities, seeds, and what inference gives."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

Q = lq.quantizers
COUNT = 20_000


def means(quantizer, x, **call):
    """The mean of many draws for each entry."""
    drawn = quantizer(tf.repeat(tf.constant(x)[None], COUNT, 0), **call).numpy()
    return drawn.mean(0), [np.unique(column).tolist() for column in drawn.T]


@pytest.mark.parametrize("name", ["stochastic_sign", "stochastic_ternary"])
@pytest.mark.parametrize("training", [True, tf.constant(True)])
def test_in_training_the_mean_is_the_clipped_value(name, training):
    tf_keras.utils.set_random_seed(5)
    x = np.float32([-2, -1, -0.5, 0, 0.25, 1, 3])
    mean, levels = means(Q.get(name), x, training=training)
    # Five standard deviations of a mean of draws from [-1, 1].
    np.testing.assert_allclose(mean, np.clip(x, -1, 1), atol=5 / COUNT**0.5)
    inner = {"stochastic_sign": [-1, 1], "stochastic_ternary": [0, 1]}[name]
    assert levels[0] == levels[1] == [-1]
    assert levels[-1] == levels[-2] == [1]
    assert levels[4] == inner


@pytest.mark.parametrize("training", [None, False, tf.constant(False)])
def test_in_inference_they_round(training):
    x = tf.constant([-2, -0.5, -0.4, -0.0, 0.4, 0.5, 2])
    sign, ternary = Q.StochasticSign(), Q.StochasticTernary()
    np.testing.assert_array_equal(sign(x, training=training), Q.ste_sign(x))
    expected = [-1, -1, 0, 0, 0, 1, 1]
    np.testing.assert_array_equal(ternary(x, training=training), expected)


@pytest.mark.parametrize("name", ["stochastic_sign", "stochastic_ternary"])
def test_the_gradient_of_what_was_drawn_passes_within_the_clip(name):
    x = tf.constant([-1.5, -1.0, 0.3, 1.0, 1.1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        drawn = Q.get(name)(x, training=True)
        loss = tf.reduce_sum(drawn * [1, 2, 3, 4, 5.0])
    assert tape.gradient(loss, x).numpy().tolist() == [0, 2, 3, 4, 0]


def test_a_layer_draws_its_kernel_in_training_alone():
    layer = lq.layers.QuantDense(
        400,
        kernel_quantizer="stochastic_sign",
        kernel_constraint="weight_clip",
        kernel_initializer="zeros",
    )
    x = tf.ones((1, 1))
    assert np.unique(layer(x)).tolist() == [1]
    assert np.unique(layer(x, training=True)).tolist() == [-1, 1]
    assert np.unique(layer.quantized_weight()).tolist() == [1]


def test_seeds_repeat_draws_as_those_of_keras_layers_do():
    x = tf.zeros(100)
    draws = []
    for seed in (1, 1, 2):
        tf_keras.utils.set_random_seed(seed)
        quantizer = Q.StochasticSign()
        draws.append([quantizer(x, training=True).numpy() for _ in range(2)])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] != draws[0][1]).any()
    assert (draws[0][0] != draws[2][0]).any()


def test_a_nan_is_drawn_as_a_nan():
    for quantizer in (Q.StochasticSign(), Q.StochasticTernary()):
        assert np.isnan(quantizer(tf.constant([np.nan, 1.0]), training=True)[0])
