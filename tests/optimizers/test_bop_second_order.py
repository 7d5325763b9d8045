"""Bop2ndOrder against the algorithm of its paper, written out by hand in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

SIZE = 16


def by_hand(weights, gradients, threshold, gamma, sigma, unbiased):
    """The weights after each step, in float64."""
    m, v, found = 0.0, 0.0, []
    for t, g in enumerate(gradients.astype(np.float64), 1):
        m = (1 - gamma) * m + gamma * g
        v = (1 - sigma) * v + sigma * g**2
        first, second = m, v
        if unbiased:
            first, second = m / (1 - (1 - gamma) ** t), v / (1 - (1 - sigma) ** t)
        ratio = first / (np.sqrt(second) + 1e-10)
        flips = (np.abs(ratio) > threshold) & (np.sign(ratio) == np.sign(weights))
        weights = np.where(flips, -1, 1) * weights
        found.append(weights)
    return found


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_equal_those_by_hand(unbiased, jit_compile):
    rng = np.random.default_rng(3)
    gradients = (
        rng.normal(0.1, 1, (6, SIZE)) * 10.0 ** rng.integers(-4, 3, SIZE)
    ).astype("float32")
    weights = rng.choice([-1.0, 1.0], SIZE)
    numbers = {"threshold": 0.3, "gamma": 0.25, "sigma": 0.125, "unbiased": unbiased}
    optimizer = lq.optimizers.Bop2ndOrder(**numbers, jit_compile=jit_compile)
    variable = tf.Variable(weights.astype("float32"))
    flips = 0
    for gradient, expected in zip(
        gradients, by_hand(weights, gradients, **numbers), strict=True
    ):
        before = variable.numpy()
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_array_equal(variable, expected)
        flips += (before != expected).sum()
    assert SIZE / 2 < flips < 6 * SIZE


def test_rates_that_are_lost_beside_one_are_corrected_too():
    # After one step the unbiased ratio is g / |g|, whatever the rates.
    optimizer = lq.optimizers.Bop2ndOrder(
        0.99, gamma=1e-9, sigma=1e-9, unbiased=True, jit_compile=False
    )
    variable = tf.Variable([1.0, -1.0, 1.0])
    optimizer.apply_gradients([(tf.constant([0.5, -0.5, -0.5]), variable)])
    assert variable.numpy().tolist() == [-1, 1, 1]


def test_sigma_follows_a_schedule_and_goes_into_the_config():
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    optimizer = lq.optimizers.Bop2ndOrder(sigma=schedule, jit_compile=False)
    variable = tf.Variable([1.0])
    seen = []
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([0.1]), variable)])
        seen.append(float(optimizer.sigma))
    assert seen == [0.5, 0.25, 0.125]
    again = lq.optimizers.Bop2ndOrder.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(lq.errors.ArgumentError, match=r'Bop2ndOrder "b", sigma: got 2'):
        lq.optimizers.Bop2ndOrder(sigma=2, name="b")


def test_a_model_goes_on_where_it_was(tmp_path):
    layer = lq.layers.QuantDense(
        3, kernel_quantizer=lq.quantizers.NoOp(1), use_bias=False, input_shape=(4,)
    )
    model = tf_keras.Sequential([layer])
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    numbers = {"threshold": 0.2, "gamma": 0.1, "sigma": 0.1, "unbiased": True}
    model.compile(lq.optimizers.Bop2ndOrder(**numbers), "mse", run_eagerly=True)
    fit = {"batch_size": 2, "shuffle": False, "verbose": 0}
    model.fit(*data, epochs=1, **fit)
    model.save(tmp_path / "half.keras")
    again = tf_keras.models.load_model(tmp_path / "half.keras")
    again.run_eagerly = True
    for each in (model, again):
        each.fit(*data, epochs=2, **fit)
    pairs = zip(model.optimizer.variables, again.optimizer.variables, strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])
