"""Signs that know how far training is: values and gradients by hand, and their schedule."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.quantizers.gradients import value_and_gradients

Q = lq.quantizers
RNG = np.random.default_rng(20261130)
KERNEL = RNG.normal(0.3, 0.7, (3, 3, 4, 5))
UPSTREAM = RNG.normal(size=KERNEL.shape)
AXES = (0, 1, 2)


def at(quantizer, progress, shape=KERNEL.shape):
    quantizer.build(shape)
    quantizer.progress.assign(progress)
    return quantizer


def standardized():
    mean, deviation = KERNEL.mean(AXES), KERNEL.std(AXES)
    return (KERNEL - mean) / deviation, deviation


def through_standardized(d):
    """By the chain rule, written out for each channel: the Jacobian of u, times d."""
    u, deviation = standardized()
    found = np.zeros_like(KERNEL)
    for c in range(KERNEL.shape[-1]):
        flat, n = u[..., c].ravel(), u[..., c].size
        jacobian = np.eye(n) - 1 / n - np.outer(flat, flat) / n
        of_channel = jacobian @ d[..., c].ravel() / deviation[c]
        found[..., c] = of_channel.reshape(u.shape[:-1])
    return found


def slope(x, progress):
    t = 0.1 * (10 / 0.1) ** progress  # from T_min to T_max
    return max(1 / t, 1) * t * (1 - np.tanh(t * x) ** 2)


@pytest.mark.parametrize("progress", [0, 0.25, 0.5, 1])
def test_the_estimator_narrows_with_progress(progress):
    x = np.array([-3.0, -0.4, 0.0, 0.1, 2.0])
    q, of_x = value_and_gradients(at(Q.EDESign(), progress), x, np.ones(5))
    np.testing.assert_array_equal(q, [-1, -1, 1, 1, 1])
    np.testing.assert_allclose(of_x, slope(x, progress), rtol=1e-5)


@pytest.mark.parametrize("progress", [0, 0.7])
def test_libra_scales_balanced_signs_by_a_power_of_two(progress):
    q, of_x = value_and_gradients(at(Q.Libra(), progress), KERNEL, UPSTREAM)
    u, _ = standardized()
    scale = 2.0 ** np.rint(np.log2(np.abs(u).mean(AXES)))
    np.testing.assert_array_equal(q, scale * np.where(u < 0, -1, 1))
    expected = through_standardized(UPSTREAM * scale * slope(u, progress))
    np.testing.assert_allclose(of_x, expected, rtol=1e-4, atol=1e-6)


def test_the_shift_of_a_kernel_with_one_large_weight():
    # One of n weights: mean |u| = 2 sqrt(n - 1) / n, here 0.0625 less 3e-5: s = -4.
    kernel = np.zeros((1024, 1), "float32")
    kernel[0] = 7
    q = np.unique(Q.Libra()(kernel))
    assert q.tolist() == [-(2.0**-4), 2.0**-4]


@pytest.mark.parametrize("progress", [0, 0.5, 1])
def test_recu_passes_gradients_within_the_quantiles_of_a_laplace_distribution(progress):
    q, of_x = value_and_gradients(at(Q.ReCU(), progress), KERNEL, UPSTREAM)
    u, _ = standardized()
    a = (0.99 - 0.85) / (np.e - 1)
    tau = a * np.exp(progress) + 0.85 - a
    bound = -np.abs(u).mean() * np.log(2 - 2 * tau)
    np.testing.assert_array_equal(q, np.where(u < 0, -1, 1))
    assert (np.abs(u) > bound).any() or progress == 1
    expected = through_standardized(UPSTREAM * (np.abs(u) <= bound))
    np.testing.assert_allclose(of_x, expected, rtol=1e-4, atol=1e-6)


def test_a_shifted_or_stretched_kernel_has_the_same_levels():
    for quantizer in (Q.Libra(), Q.ReCU()):
        q = quantizer(tf.constant(KERNEL))
        np.testing.assert_array_equal(q, quantizer(tf.constant(3 * KERNEL - 5)))


def network(name="net"):
    layer = lq.layers.QuantDense(
        2, input_quantizer="ede_sign", kernel_quantizer="libra"
    )
    last = tf_keras.layers.Dense(1, activation=Q.EDESign())
    return tf_keras.Sequential([tf_keras.Input((3,)), layer, last], name=name)


def progress_of(model):
    return [float(w) for w in model.weights if w.name.endswith("progress:0")]


def test_the_schedule_sets_every_quantizer_and_resumes(tmp_path):
    model = network()
    model.compile("sgd", "mse", run_eagerly=True)
    x, y = np.ones((2, 3), "float32"), np.ones((2, 1), "float32")
    seen = []
    watch = tf_keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(progress_of(model))
    )
    schedule = lq.callbacks.QuantizerSchedule(epochs=5)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[schedule, watch])
    np.testing.assert_allclose(seen, np.outer([0, 0.25, 0.5], np.ones(3)))
    model.save(tmp_path / "half.keras")
    model = lq.models.load(tmp_path / "half.keras")
    assert progress_of(model) == [0.5] * 3
    model.compile("sgd", "mse", run_eagerly=True)
    schedule = lq.callbacks.QuantizerSchedule()
    resumed = {"epochs": 5, "initial_epoch": 3, "verbose": 0}
    model.fit(x, y, **resumed, callbacks=[schedule, watch])
    np.testing.assert_allclose(seen[3:], np.outer([0.75, 1], np.ones(3)))


def test_no_progress_is_trained_or_deployed():
    model = network()
    assert not [w for w in model.trainable_weights if "progress" in w.name]
    costs = lq.models.profile(model)
    assert costs.params_by_bits == {1: 6, 32: 2 + 3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lq.callbacks.QuantizerSchedule(epochs=0), "epochs=0"),
        (
            lambda: lq.callbacks.QuantizerSchedule().set_model(tf_keras.Sequential()),
            "no quantizer",
        ),
    ],
)
def test_what_cannot_be_scheduled_is_refused(make, message):
    with pytest.raises(lq.errors.ArgumentError, match=message) as error:
        make()
    assert "Fix:" in str(error.value)
