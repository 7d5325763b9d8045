"""FlipRatio against counts by hand."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import larqlite as lq

# Each is traced once; `test_resetting_starts_a_new_mean` is about starting anew.
METRICS = functools.cache(lambda dtype: lq.metrics.FlipRatio(values_dtype=dtype))


@settings(max_examples=30, deadline=None)
@given(
    values=hnp.arrays("int8", (4, 5), elements=st.integers(-1, 1)),
    dtype=st.sampled_from([None, "int8", "float32"]),
)
def test_it_is_the_mean_share_of_changed_values(values, dtype):
    metric = METRICS(dtype)
    metric.reset_state()
    for row in values:
        metric.update_state(row.astype("float32"))
    by_hand = np.mean([np.mean(a != b) for a, b in itertools.pairwise(values)])
    np.testing.assert_allclose(metric.result(), by_hand, rtol=1e-6)


def test_the_documented_sequence():
    metric = lq.metrics.FlipRatio()
    seen = []
    for values in ([1, 1], [2, 2], [1, 2]):
        metric.update_state(np.array(values, "float32"))
        seen.append(metric.result().numpy())
    assert seen == [0.0, 1.0, 0.75]


def test_fractions_are_compared_as_they_are():
    metric = lq.metrics.FlipRatio()
    for values in ([0.0, 0.0], [0.33, 0.0], [0.66, 0.0]):
        metric.update_state(values)
    assert metric.result().numpy() == 0.5


def test_resetting_starts_a_new_mean():
    metric = lq.metrics.FlipRatio()
    metric.update_state([1.0, 1.0])
    metric.update_state([-1.0, 1.0])
    metric.reset_state()
    assert metric.result().numpy() == 0
    metric.update_state([1.0, -1.0])
    assert metric.result().numpy() == 0
    metric.update_state([1.0, 1.0])
    assert metric.result().numpy() == 0.5


def test_a_large_tensor_is_counted_exactly():
    metric = lq.metrics.FlipRatio(values_dtype="int8")
    values = np.ones(3_000_001, "float32")
    metric.update_state(values)
    values[:1001] = -1
    metric.update_state(values)
    np.testing.assert_allclose(metric.result(), 1001 / 3_000_001, rtol=1e-6)


def test_it_works_in_a_compiled_function():
    metric = lq.metrics.FlipRatio()
    metric.build((2,))

    @tf.function(jit_compile=True)
    def update(values):
        metric.update_state(values)

    update(tf.constant([1.0, 1.0]))
    update(tf.constant([1.0, -1.0]))
    assert metric.result().numpy() == 0.5


def test_values_of_another_shape_are_refused():
    metric = lq.metrics.FlipRatio()
    metric.update_state([1.0, 1.0])
    with pytest.raises(lq.errors.ArgumentError, match=r"\(3,\).*\(2,\)"):
        metric.update_state([1.0, 1.0, 1.0])


def test_as_a_string_in_compile_it_says_the_way():
    model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(1)])
    model.compile("sgd", "mse", metrics=["flip_ratio"])
    with pytest.raises(lq.errors.ArgumentError, match="metrics_scope"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
