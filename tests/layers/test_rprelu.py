"""RPReLU and TwoSlopeReLU against NumPy, in every format, dtype and place."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

RNG = np.random.default_rng(20260303)
GAMMA, BETA, ZETA = (np.array(v) for v in ([0.5, -1.0], [0.25, -2.0], [3.0, -0.5]))
POSITIVE, NEGATIVE = np.array([1.0, -0.5]), np.array([0.25, 2.0])
PLACES = {"RPReLU": (GAMMA, BETA, ZETA), "TwoSlopeReLU": (POSITIVE, NEGATIVE)}
every_layer = pytest.mark.parametrize("name", PLACES)


def by_hand(name, x, values):
    if name == "RPReLU":
        gamma, beta, zeta = values
        return np.where(x > gamma, x - gamma, beta * (x - gamma)) + zeta
    positive, negative = values
    return np.where(x > 0, positive * x, negative * x)


def made(name, dtype="float64", **kwargs):
    layer = getattr(lq.layers, name)(dtype=dtype, **kwargs)
    layer.build((None, 2))
    layer.set_weights(PLACES[name])
    return layer


@every_layer
def test_values_are_those_of_the_formula_at_the_bend_too(name):
    x = np.array([[0.5, -1.0], [0.0, 0.0], [-0.0, 2.0], [-3.0, -3.0], [4.0, 4.0]])
    x = np.concatenate([x, RNG.normal(size=(20, 2))])
    np.testing.assert_allclose(
        made(name)(x), by_hand(name, x, PLACES[name]), rtol=1e-12
    )


@every_layer
def test_gradients_are_those_of_finite_differences(name):
    x, upstream = RNG.normal(size=(30, 2)), RNG.normal(size=(30, 2))
    layer = made(name)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) * upstream)
    of_x, *of_weights = tape.gradient(loss, [inputs, *layer.trainable_weights])
    step = 1e-6
    slope = (
        by_hand(name, x + step, PLACES[name]) - by_hand(name, x - step, PLACES[name])
    ) / (2 * step)
    np.testing.assert_allclose(of_x, upstream * slope, atol=1e-7)
    for index, gradient in enumerate(of_weights):
        ends = []
        for sign in (1, -1):
            values = list(PLACES[name])
            values[index] = values[index] + sign * step
            ends.append(upstream * by_hand(name, x, values))
        np.testing.assert_allclose(
            gradient, (ends[0] - ends[1]).sum(0) / (2 * step), atol=1e-6
        )


def test_at_the_bend_the_gradient_is_that_of_the_left_side():
    x = tf.constant(GAMMA[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = made("RPReLU")(x)
    np.testing.assert_array_equal(y, ZETA[np.newaxis])
    np.testing.assert_array_equal(tape.gradient(y, x), BETA[np.newaxis])


@every_layer
def test_it_starts_as_keras_prelu_with_a_quarter(name):
    x = RNG.normal(size=(2, 4, 4, 3)).astype("float32")
    keras = tf_keras.layers.PReLU(
        tf_keras.initializers.Constant(0.25), shared_axes=[1, 2]
    )
    np.testing.assert_allclose(getattr(lq.layers, name)()(x), keras(x), rtol=1e-6)


@every_layer
def test_channels_first(name):
    layer = getattr(lq.layers, name)(axis=1)
    x = RNG.normal(size=(3, 2, 4, 5)).astype("float32")
    layer(x)
    layer.set_weights(PLACES[name])
    values = [value[:, None, None] for value in PLACES[name]]
    np.testing.assert_allclose(layer(x), by_hand(name, x, values), rtol=1e-5, atol=1e-6)
    assert type(layer).from_config(layer.get_config()).axis == 1


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_under_mixed_precision_it_computes_in_16_bits_on_float32_weights(name, policy):
    layer = made(name, dtype=policy)
    x = RNG.normal(size=(5, 2)).astype("float32")
    y = layer(x)
    assert y.dtype == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    np.testing.assert_allclose(
        tf.cast(y, "float32"), by_hand(name, x, PLACES[name]), atol=0.05
    )


@every_layer
def test_compiled_by_xla_it_gives_the_same(name):
    layer = made(name, dtype="float32")
    x = tf.constant(RNG.normal(size=(5, 2)).astype("float32"))
    compiled = tf.function(layer.__call__, jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x), rtol=1e-6, atol=1e-6)


@every_layer
@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_learned_values_survive_files_and_a_second_format(name, ending, tmp_path):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((2,)),
            made(name, dtype="float32"),
            tf_keras.layers.Dense(2, activation=getattr(lq.layers, name)()),
        ]
    )
    x = RNG.normal(size=(4, 2)).astype("float32")
    model.save(tmp_path / f"model{ending}")
    again = tf_keras.models.load_model(tmp_path / f"model{ending}")
    np.testing.assert_array_equal(again(x), model(x))
    np.testing.assert_array_equal(again.layers[0].get_weights(), PLACES[name])
    again.save(tmp_path / "second.h5")
    np.testing.assert_array_equal(
        tf_keras.models.load_model(tmp_path / "second.h5")(x), model(x)
    )
    np.testing.assert_array_equal(copy.deepcopy(model)(x), model(x))


@every_layer
def test_as_a_string_it_is_refused_with_the_way_out(name):
    string = {"RPReLU": "rprelu", "TwoSlopeReLU": "two_slope_relu"}[name]
    with pytest.raises(lq.errors.ArgumentError, match=rf"activation={name}\(\)"):
        tf_keras.layers.Dense(2, activation=string)(tf.ones([1, 2]))


@every_layer
def test_open_channels_are_refused(name):
    with pytest.raises(lq.errors.ArgumentError, match=f"{name}.*axis -1"):
        getattr(lq.layers, name)()(tf_keras.Input((4, None)))


@every_layer
def test_it_counts_no_macs_and_float_parameters(name):
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 2)), made(name)])
    row = lq.models.profile(model).layers[0]
    assert row.macs == 0
    assert row.params_by_bits == {64: 2 * len(PLACES[name])}
    assert row.notes == ()
