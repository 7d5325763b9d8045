"""AdaBin's weights and activations: levels and gradients by hand and by finite differences."""

import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq
from tests.quantizers.gradients import (
    built,
    slope_by_finite_difference,
    value_and_gradients,
)

RNG = np.random.default_rng(20260302)
KERNEL = RNG.normal(0.1, 0.5, (3, 3, 4, 5))
UPSTREAM = RNG.normal(size=KERNEL.shape)


def gradient_of(kernel, upstream):
    kernel = tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        q = lq.quantizers.AdaBinWeights()(kernel)
        loss = tf.reduce_sum(q * tf.constant(upstream, q.dtype))
    return tape.gradient(loss, kernel).numpy()


def statistics(kernel):
    axes = tuple(range(kernel.ndim - 1))
    return kernel.mean(axes), kernel.std(axes)


def test_levels_are_one_deviation_around_the_mean_of_each_output_channel():
    q = lq.quantizers.AdaBinWeights()(KERNEL).numpy()
    beta, alpha = statistics(KERNEL)
    np.testing.assert_allclose(q, np.where(beta > KERNEL, -1, 1) * alpha + beta)
    assert all(len(np.unique(q[..., c])) == 2 for c in range(5))


def test_a_weight_at_the_mean_belongs_to_the_upper_level():
    kernel = tf.constant([[-1.0], [0.0], [1.0]])
    alpha = np.sqrt(2 / 3)
    q = lq.quantizers.AdaBinWeights()(kernel)
    np.testing.assert_allclose(np.ravel(q), [-alpha, alpha, alpha], rtol=1e-6)


def test_the_gradient_is_that_of_ten_tanh_of_a_tenth_by_finite_differences():
    # Straight through: the value is that of the sign, the slope that of the curve.
    beta, alpha = statistics(KERNEL)
    u = (KERNEL - beta) / alpha
    rest = np.where(u < 0, -1, 1) - 10 * np.tanh(u / 10)

    def loss(kernel):
        beta, alpha = statistics(kernel)
        curve = 10 * np.tanh((kernel - beta) / alpha / 10)
        return np.sum(UPSTREAM * ((curve + rest) * alpha + beta))

    by_hand = np.zeros_like(KERNEL)
    for index in np.ndindex(*KERNEL.shape):
        step = np.zeros_like(KERNEL)
        step[index] = 1e-5
        by_hand[index] = (loss(KERNEL + step) - loss(KERNEL - step)) / 2e-5
    np.testing.assert_allclose(gradient_of(KERNEL, UPSTREAM), by_hand, atol=1e-7)


def test_shifting_all_weights_of_a_channel_shifts_its_levels_as_much():
    # So the gradients of a channel sum to those of its levels.
    gradient = gradient_of(KERNEL, UPSTREAM)
    np.testing.assert_allclose(
        gradient.sum((0, 1, 2)), UPSTREAM.sum((0, 1, 2)), atol=1e-9
    )


def test_a_constant_channel_stays_as_it_is_and_passes_its_gradient():
    kernel = tf.fill([4, 2], 0.75)
    q = lq.quantizers.AdaBinWeights()(kernel)
    np.testing.assert_array_equal(q, kernel)
    upstream = np.arange(8.0).reshape(4, 2)
    np.testing.assert_allclose(gradient_of(kernel, upstream), upstream)


def test_in_sixteen_bits_the_sums_are_taken_in_thirty_two():
    kernel = RNG.normal(300, 1, (5000, 1))
    half = kernel.astype("float16")
    levels = np.unique(lq.quantizers.AdaBinWeights()(half))
    wide = half.astype("float32")
    np.testing.assert_allclose(
        levels, [wide.mean() - wide.std(), wide.mean() + wide.std()], rtol=1e-3
    )
    assert np.isfinite(gradient_of(half, np.ones_like(half))).all()


def test_codes_tell_the_levels_apart_when_both_are_positive():
    kernel = np.array([[5.0, -7.0], [6.0, -8.0], [7.0, -9.0]], "float32")
    quantizer = lq.quantizers.AdaBinWeights()
    codes = quantizer.codes(quantizer(kernel))
    assert codes.numpy().tolist() == [[-1, 1], [1, 1], [1, -1]]


def test_a_kernel_without_a_constraint_is_not_warned_of(caplog):
    # Its pseudo-gradient is nowhere zero, so no weight can starve.
    lq.layers.QuantDense(2, kernel_quantizer="adabin_weights")
    assert not caplog.records
    lq.layers.QuantDense(2, kernel_quantizer="rsign")
    assert "weight_clip" in caplog.text


@pytest.mark.parametrize("name", ["adabin_weights", "AdaBinWeights"])
def test_the_string_names_it(name):
    assert isinstance(lq.quantizers.get(name), lq.quantizers.AdaBinWeights)


class TestAdaBinActivations:
    def test_the_levels_are_the_centre_plus_and_minus_the_distance(self):
        levels = built(lq.quantizers.AdaBinActivations(), 1, 0.25, -0.5)
        x = np.array([[-9.0], [-0.51], [-0.5], [3.0]], "float32")
        expected = [[-0.75], [-0.75], [-0.25], [-0.25]]
        np.testing.assert_array_equal(levels(x), expected)
        np.testing.assert_array_equal(levels.codes(levels(x)), [[-1], [-1], [1], [1]])

    @pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.5, 0.75), (2.0, -1.0)])
    def test_gradients_follow_the_chain_rule(self, alpha, beta):
        x, upstream = RNG.uniform(-4, 4, (60, 2)), RNG.normal(size=(60, 2))
        levels = built(lq.quantizers.AdaBinActivations(), 2, alpha, beta)
        q, of_x, of_alpha, of_beta = value_and_gradients(levels, x, upstream)
        u = (x - beta) / alpha
        sign, h = np.where(u < 0, -1, 1), np.maximum(2 - 2 * abs(u), 0)
        np.testing.assert_allclose(q, alpha * sign + beta, rtol=1e-6)
        np.testing.assert_allclose(of_x, upstream * h, rtol=1e-6)
        np.testing.assert_allclose(
            of_alpha, np.sum(upstream * (sign - u * h)), rtol=1e-5
        )
        np.testing.assert_allclose(of_beta, np.sum(upstream * (1 - h)), rtol=1e-5)

    def test_far_from_the_step_gradients_are_true_derivatives(self):
        x = np.array([[-4.0], [-2.5], [3.0], [5.0]])
        upstream = np.array([[1.0], [-2.0], [0.5], [3.0]])
        _, _, of_alpha, of_beta = value_and_gradients(
            built(lq.quantizers.AdaBinActivations(), 1, 0.5, 0.25), x, upstream
        )

        def loss(alpha, beta):
            levels = alpha * np.where(x < beta, -1, 1) + beta
            return np.sum(upstream * levels)

        step = slope_by_finite_difference
        np.testing.assert_allclose(
            of_alpha, step(lambda e: loss(0.5 + e, 0.25)), rtol=1e-5
        )
        np.testing.assert_allclose(
            of_beta, step(lambda e: loss(0.5, 0.25 + e)), rtol=1e-5
        )

    def test_a_distance_that_reached_zero_can_grow_again(self):
        levels = built(lq.quantizers.AdaBinActivations(), 1, 0.0, 0.5)
        x = np.array([[-1.0], [2.0]], "float32")
        q, _, of_alpha, of_beta = value_and_gradients(levels, x, [[1.0], [1.0]])
        assert q.ravel().tolist() == [0.5, 0.5]
        # u = 0 / 0 counts as the constant 0, whose sign is +1.
        assert (of_alpha.numpy(), of_beta.numpy()) == (2, 2)
