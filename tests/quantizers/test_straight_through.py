"""The straight-through estimator at the very edge of its range, in every dtype."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import larqlite as lq


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@settings(max_examples=30, deadline=None)
@given(clip_value=st.floats(1e-3, 1e4) | st.sampled_from([0.0, 1.0, 1.25]))
def test_gradients_pass_up_to_and_including_the_clip_value(dtype, clip_value):
    number = tf.as_dtype(dtype).as_numpy_dtype
    edge, infinity = number(clip_value), number(np.inf)
    # TensorFlow treats numbers below the smallest normal one as zero.
    beyond = np.nextafter(edge, infinity) if edge > 0 else number(1e-4)
    within = np.nextafter(edge, -infinity) if edge > 0 else edge
    x = tf.constant(np.array([edge, -edge, within, beyond, -beyond, infinity]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = lq.quantizers.SteSign(clip_value)(x)
    gradient = tf.cast(tape.gradient(q, x), "float32").numpy()
    assert gradient.tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("clip_value", [None, float("inf"), 1e-6, 1.0])
def test_a_scaled_sign_scales_its_gradient_once(clip_value):
    kernel = tf.constant([[0.5, -2.0], [-1.5, 5e-7]])
    upstream = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        q = lq.quantizers.MagnitudeAwareSign(clip_value)(kernel)
        loss = tf.reduce_sum(q * upstream)
    passed = abs(kernel.numpy()) <= (np.inf if clip_value is None else clip_value)
    scale = abs(kernel.numpy()).mean(0)
    np.testing.assert_allclose(
        tape.gradient(loss, kernel), upstream * passed * scale, rtol=1e-6
    )


def test_gradients_of_gradients_go_through_the_mask():
    x = tf.constant([0.5, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(lq.quantizers.ste_sign(x) * x**2)
        first = inner.gradient(loss, x)
    # d/dx of x^2 * mask + sign(x) * 2x, where sign passes the mask once more.
    mask = np.array([1.0, 0.0])
    by_hand = 2 * x.numpy() * mask + (mask * 2 * x.numpy() + 2 * np.sign(x.numpy()))
    np.testing.assert_allclose(outer.gradient(first, x), by_hand)


def test_a_clip_value_of_none_passes_every_gradient():
    x = tf.constant([-1e30, 0.0, 5.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(lq.quantizers.SteHeaviside(None)(x) * [1.0, 2.0, 3.0])
    assert tape.gradient(loss, x).numpy().tolist() == [1, 2, 3]
