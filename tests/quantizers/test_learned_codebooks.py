"""LQ-Nets: the nearest of sums of a basis, and its fit, by brute force and least squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq
from tests.quantizers.gradients import value_and_gradients

RNG = np.random.default_rng(20261130)
LQLevels = lq.quantizers.LQLevels


def with_basis(basis, mode, **given):
    quantizer = LQLevels(np.shape(basis)[-1], mode=mode, **given)
    quantizer.build((None, np.shape(basis)[0] if np.ndim(basis) == 2 else 1))
    quantizer.set_weights([np.float32(basis)])
    return quantizer


def codes_of(bits, mode):
    ends = (-1, 1) if mode == "weights" else (0, 1)
    return np.array([*itertools.product(ends, repeat=bits)], np.float64)


def nearest(x, basis, mode):
    """The nearest level of each x, the lower one in a tie, and its code."""
    codes = codes_of(len(basis), mode)
    levels = codes @ np.asarray(basis, np.float64)
    order = np.argsort(levels, kind="stable")
    distance = np.abs(x[..., None] - levels[order])
    place = distance.argmin(-1)
    return levels[order][place], codes[order][place]


BASES = [
    [0.7],
    [0.4, 1.1],
    [1.1, 0.4],
    [0.5, 0.5],
    [0.3, 0.5, 0.6],
    [0.1, 0.25, 0.5, 1.0],
]


@pytest.mark.parametrize("mode", ["weights", "activations"])
@pytest.mark.parametrize("basis", BASES, ids=str)
def test_each_value_becomes_the_nearest_sum(basis, mode):
    basis = np.float32(basis)
    quantizer = with_basis(basis, mode, per_channel=False)
    x = RNG.uniform(-3, 3, (50, 2))
    upstream = RNG.normal(size=x.shape)
    q, of_x = value_and_gradients(quantizer, x, upstream)
    expected, _ = nearest(x, basis, mode)
    np.testing.assert_allclose(q, expected, rtol=1e-6, atol=1e-7)
    inside = np.ones(x.shape, bool)
    if mode == "activations":
        inside = (x >= 0) & (x <= basis.sum(dtype=np.float64))
    np.testing.assert_array_equal(of_x, upstream * inside)
    assert not quantizer.trainable_weights


def test_in_the_middle_of_two_levels_it_is_the_lower_one():
    x = np.float32([[-1.0, 0.0, 1.0, 2.0, -9, 9]])
    assert with_basis([1.0, 0.5], "weights", per_channel=False)(x).numpy().tolist() == [
        [-1.5, -0.5, 0.5, 1.5, -1.5, 1.5]
    ]


def test_each_channel_of_weights_has_a_basis():
    bases = RNG.uniform(0.2, 1, (4, 3)).astype("float32")
    x = RNG.normal(size=(3, 3, 2, 4))
    q = with_basis(bases, "weights")(x).numpy()
    for channel, basis in enumerate(bases):
        expected, _ = nearest(x[..., channel], basis, "weights")
        np.testing.assert_allclose(q[..., channel], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("basis", "mode"),
    [
        ([0.4, 1.1], "weights"),
        ([0.4, 1.1], "activations"),
        ([0.2, 0.5, 0.9], "weights"),
    ],
)
def test_a_call_in_training_fits_the_basis_by_least_squares(basis, mode):
    quantizer = with_basis(basis, mode, per_channel=False, momentum=0.75)
    x = RNG.normal(size=(80, 3)).astype("float32")
    x = np.abs(x) if mode == "activations" else x
    expected, codes = nearest(x.astype("float64"), np.float32(basis), mode)
    np.testing.assert_allclose(quantizer(x, training=True), expected, rtol=1e-5)
    best = np.linalg.lstsq(codes.reshape(-1, len(basis)), x.ravel(), rcond=None)[0]
    np.testing.assert_allclose(
        quantizer.basis, 0.75 * np.float32(basis) + 0.25 * best, rtol=1e-4
    )
    stored = quantizer.basis.numpy()
    quantizer(2 * x)
    quantizer(np.zeros_like(x))
    np.testing.assert_array_equal(quantizer.basis, stored)


# The least squared errors of any 2^k levels of a normal variable of variance 1 (Max 1960).
@pytest.mark.parametrize(
    ("bits", "least"),
    [(1, 0.3634), (2, 0.1175), pytest.param(3, 0.03454, marks=pytest.mark.slow)],
)
def test_fits_come_near_to_the_best_levels_there_are(bits, least):
    x = np.random.default_rng(1).normal(size=(4000, 2)).astype("float32")
    quantizer = LQLevels(bits, mode="weights", momentum=0.5)
    errors = [
        np.square(quantizer(x, training=True) - x).mean(0).max() for _ in range(15)
    ]
    assert errors[-1] <= errors[0]
    assert errors[-1] < 1.25 * least  # of sums, fewer than any levels
    evenly = lq.quantizers.Uniform(max(bits, 2), mode="weights")
    if bits > 1:
        assert errors[-1] < 0.7 * np.square(evenly(x, training=True) - x).mean()


def test_all_that_is_alike_leaves_the_basis_as_it_can():
    quantizer = LQLevels(2, mode="weights", per_channel=False)
    quantizer(np.zeros((3, 2), "float32"), training=True)
    assert not np.any(quantizer.basis)
    q = quantizer(np.full((3, 2), 0.5, "float32"), training=True)
    np.testing.assert_allclose(q, 0.5, rtol=1e-3)
    quantizer(np.full((3, 2), np.nan, "float32"), training=True)
    assert np.isfinite(quantizer.basis).all()


def test_a_graph_may_learn_at_run_time_whether_it_trains():
    quantizer = LQLevels(2)
    quantizer.build((None, 3))
    x = np.abs(RNG.normal(size=(4, 3))).astype("float32")
    call = tf.function(lambda x, training: quantizer(x, training=training))
    call(x, tf.constant(False))
    assert not np.any(quantizer.basis)
    call(x, tf.constant(True))
    assert np.any(quantizer.basis)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 5}, r"bits=5.*at most 4 bits.*\n.*Fix: "),
        ({"bits": 0}, "positive integer"),
        ({"mode": "weight"}, 'Did you mean "weights"'),
    ],
)
def test_arguments_that_cannot_be_are_refused(given, message):
    with pytest.raises(lq.errors.ArgumentError, match=message):
        LQLevels(**given)
