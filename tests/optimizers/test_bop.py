"""Bop against the algorithm of its paper, written out by hand in NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite.optimizers import Bop

SIZE = 16
compiled = pytest.mark.parametrize("jit_compile", [True, False], ids=["xla", "plain"])


def step_by_hand(weights, averages, gradients, gamma, threshold):
    """One weight at a time, in float32, as the formula says."""
    gamma, threshold = np.float32(gamma), np.float32(threshold)
    new_weights, new_averages = [], []
    for w, m, g in zip(weights, averages, gradients, strict=True):
        m = np.float32(m + gamma * np.float32(g - m))
        sign = 1.0 if w >= 0 else -1.0
        new_weights.append(-sign if np.float32(w * m) > threshold else sign)
        new_averages.append(m)
    return np.float32(new_weights), np.float32(new_averages)


def step(bop, variable, gradient):
    bop.apply_gradients([(tf.convert_to_tensor(gradient), variable)])
    return variable.numpy()


@pytest.fixture(scope="module", params=[True, False], ids=["xla", "plain"])
def trained(request):
    """One optimizer and one variable, so that XLA compiles only once."""
    variable = tf.Variable(tf.zeros(SIZE))
    bop = Bop(jit_compile=request.param)
    bop.build([variable])
    return bop, variable


def floats(width=32, bound=100.0):
    return st.floats(-bound, bound, width=width, allow_subnormal=False)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_three_steps_equal_those_by_hand_where_all_numbers_are_exact(trained, data):
    # Multiples of 1/8 and steps of a power of two have no rounding, so ties are ties.
    bop, variable = trained
    eighths = st.integers(-16, 16).map(lambda k: k / 8)
    vectors = st.lists(eighths, min_size=SIZE, max_size=SIZE).map(np.float32)
    gamma = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    threshold = data.draw(st.integers(0, 16).map(lambda k: k / 32))
    weights, averages = data.draw(vectors), np.zeros(SIZE, np.float32)
    bop.gamma, bop.threshold = gamma, threshold
    variable.assign(weights)
    bop.variables[1].assign(averages)
    for _ in range(3):
        gradients = data.draw(vectors)
        weights, averages = step_by_hand(weights, averages, gradients, gamma, threshold)
        np.testing.assert_array_equal(step(bop, variable, gradients), weights)
        np.testing.assert_array_equal(bop.variables[1].numpy(), averages)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_step_equals_that_by_hand_for_any_numbers_away_from_ties(trained, data):
    bop, variable = trained
    vectors = st.lists(floats(), min_size=SIZE, max_size=SIZE).map(np.float32)
    weights, averages, gradients = (data.draw(vectors) for _ in range(3))
    gamma = data.draw(st.floats(0, 1, width=32, allow_subnormal=False))
    threshold = data.draw(st.floats(0, 10, width=32, allow_subnormal=False))
    bop.gamma, bop.threshold = gamma, threshold
    variable.assign(weights)
    bop.variables[1].assign(averages)
    expected, new_averages = step_by_hand(
        weights, averages, gradients, gamma, threshold
    )
    result = step(bop, variable, gradients)
    np.testing.assert_allclose(
        bop.variables[1].numpy(), new_averages, rtol=1e-5, atol=1e-4
    )
    clear = np.abs(weights * new_averages - threshold) > 1e-2
    np.testing.assert_array_equal(result[clear], expected[clear])
    assert set(np.abs(result)) == {1.0}


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_sparse_gradient_gives_the_same_as_the_dense_one(trained, data):
    bop, variable = trained
    rows = data.draw(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=8))
    eighths = st.integers(-16, 16).map(lambda k: k / 8)
    values = data.draw(st.lists(eighths, min_size=len(rows), max_size=len(rows)))
    dense = np.zeros(SIZE, np.float32)
    for row, value in zip(rows, values, strict=True):
        dense[row] += value  # repeated indices add up
    bop.gamma, bop.threshold = 0.5, 0.125
    results = []
    for gradient in (
        tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows)),
        tf.constant(dense),
    ):
        variable.assign(np.resize([1.0, -1.0], SIZE))
        bop.variables[1].assign(np.resize([0.5, 1.0, -1.0], SIZE))
        bop.apply_gradients([(gradient, variable)])
        results.append((variable.numpy(), bop.variables[1].numpy()))
    np.testing.assert_array_equal(*(weights for weights, _ in results))
    np.testing.assert_array_equal(*(averages for _, averages in results))


@compiled
def test_at_the_threshold_a_weight_is_kept_whatever_its_sign(jit_compile):
    bop = Bop(threshold=0.5, gamma=1.0, jit_compile=jit_compile)
    variable = tf.Variable([1.0, -1.0, 1.0, -1.0, 0.5, -0.5])
    above = np.nextafter(np.float32(0.5), np.float32(1))
    gradient = np.float32([0.5, -0.5, above, -above, 1.0, -1.0])
    assert step(bop, variable, gradient).tolist() == [1, -1, -1, 1, 1, -1]


@compiled
def test_a_dead_gradient_keeps_every_weight_with_threshold_zero(jit_compile):
    bop = Bop(threshold=0.0, gamma=0.5, jit_compile=jit_compile)
    variable = tf.Variable([1.0, -1.0])
    for _ in range(3):
        assert step(bop, variable, [0.0, 0.0]).tolist() == [1, -1]


@compiled
def test_latent_weights_become_their_sign_or_its_opposite_in_the_first_step(
    jit_compile,
):
    bop = Bop(threshold=0.1, gamma=1.0, jit_compile=jit_compile)
    variable = tf.Variable([0.3, -0.3, 0.0, -0.0, 0.3, -0.3])
    # w * m of the raw weight: 0.3 * 0.2 is below the threshold, 0.3 * 1 above.
    result = step(bop, variable, [0.2, -0.2, 9.0, 9.0, 1.0, -1.0])
    assert result.tolist() == [1, -1, 1, 1, -1, 1]


@compiled
def test_a_nan_is_seen_rather_than_hidden(jit_compile):
    bop = Bop(jit_compile=jit_compile)
    variable = tf.Variable([1.0, math.nan, 1.0])
    result = step(bop, variable, [math.nan, 0.0, -1.0])
    assert np.isnan(result).tolist() == [True, True, False]


@compiled
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_float_dtype_trains_and_keeps_a_tiny_threshold(dtype, jit_compile):
    # 1e-9 is zero in float16: a threshold of zero would flip the first weight.
    bop = Bop(threshold=1e-4, gamma=0.25, jit_compile=jit_compile)
    variable = tf.Variable(tf.constant([1, 1, -1], dtype))
    bop.threshold = 1e-9
    gradient = tf.constant([0.0, 0.5, 0.5], dtype)
    result = step(bop, variable, gradient).astype("float32")
    assert result.tolist() == [1, -1, -1]
    assert variable.dtype == bop.variables[1].dtype == dtype


def test_a_threshold_below_the_smallest_float16_still_separates():
    bop = Bop(threshold=2e-8, gamma=1.0)
    variable = tf.Variable(tf.constant([1, 1], tf.float16))
    smallest = 2.0**-24  # about 6e-8, the step of float16 around zero
    bop.gamma = 0.25  # averages of 1.5e-8 and 6e-8 in float32
    result = step(bop, variable, tf.constant([smallest, 4 * smallest], tf.float16))
    assert result.astype("float32").tolist() == [1, -1]


def test_schedules_of_both_hyperparameters_are_evaluated_at_the_step_count():
    gammas = tf_keras.optimizers.schedules.PiecewiseConstantDecay(
        [0, 1], [1.0, 0.5, 0.0]
    )
    thresholds = tf_keras.optimizers.schedules.PolynomialDecay(0.75, 2, 0.25)
    bop = Bop(threshold=thresholds, gamma=gammas)
    variable = tf.Variable([1.0])
    seen = []
    for _ in range(3):
        weight = step(bop, variable, [0.5]).item()
        average = bop.variables[1].numpy().item()
        seen.append((float(bop.gamma), float(bop.threshold), average, weight))
    # Thresholds 0.75, 0.5, 0.25; the average is 0.5 in each step.
    assert seen == [(1, 0.75, 0.5, 1), (0.5, 0.5, 0.5, 1), (0, 0.25, 0.5, -1)]


def test_one_schedule_beside_one_number_survives_the_config():
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    bop = Bop(threshold=1e-6, gamma=schedule, clipvalue=2.0, name="mine")
    config = bop.get_config()
    assert (config["threshold"], config["name"]) == (1e-6, "mine")
    restored = Bop.from_config(config)
    assert restored.get_config() == config
    variable = tf.Variable([1.0])
    step(restored, variable, [4.0])
    assert restored.variables[1].numpy().item() == 0.5 * 2.0  # clipped, then averaged


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [({"clipvalue": 1.0}, [1.0, 1.0]), ({"clipnorm": 1.0}, [0.6, 0.8])],
)
def test_gradients_are_clipped_before_they_are_averaged(arguments, seen):
    bop = Bop(gamma=1.0, **arguments)
    step(bop, tf.Variable([1.0, 1.0]), [3.0, 4.0])
    np.testing.assert_allclose(bop.variables[1].numpy(), seen, rtol=1e-6)


def test_values_set_from_outside_hold_from_the_next_step_on():
    bop = Bop(threshold=0.5, gamma=1.0)
    variable = tf.Variable([1.0])
    update = tf.function(lambda g: bop.apply_gradients([(g, variable)]))
    update(tf.constant([0.4]))
    assert variable.numpy().item() == 1
    tf_keras.backend.set_value(bop.threshold, 0.3)
    update(tf.constant([0.4]))
    assert variable.numpy().item() == -1


def test_weights_changed_from_outside_are_binary_again_after_a_step():
    bop, variable = Bop(gamma=0.0), tf.Variable([1.0, -1.0])
    step(bop, variable, [0.0, 0.0])
    variable.assign([0.25, -7.0])
    assert step(bop, variable, [0.0, 0.0]).tolist() == [1, -1]
