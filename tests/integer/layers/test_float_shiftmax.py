"""Shiftmax of floats against its formula in Python's own arithmetic."""

import math
import pickle

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from larqlite.errors import DtypeError, LarqliteError
from larqlite.integer.layers import shiftmax
from tests.integer.layers.float_formulas import by_hand


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=9),
    st.floats(-1e4, 1e4, width=32),
)
def test_shiftmax_is_what_the_formula_says(row, offset):
    moved = np.float32(row) + np.float32(offset)
    found = shiftmax(tf.constant(moved)).numpy()
    np.testing.assert_array_equal(found, np.float32(by_hand(moved.tolist())))


def test_shiftmax_takes_other_axes_lists_of_them_and_half_precision():
    x = np.random.default_rng(5).normal(size=(2, 3, 4)).astype("float32") * 4
    first = shiftmax(x, axis=0).numpy()
    np.testing.assert_array_equal(first[:, 1, 2], np.float32(by_hand(x[:, 1, 2])))
    both = shiftmax(x, axis=[1, 2]).numpy()
    np.testing.assert_array_equal(both[1].ravel(), np.float32(by_hand(x[1].ravel())))
    assert shiftmax(tf.cast(x, tf.float16)).dtype == tf.float16


def test_huge_logits_stay_finite():
    found = shiftmax(tf.constant([3e30, -3e30, 0.0]))
    np.testing.assert_array_equal(found, [1, 0, 0])


def test_gradients_pass_floor_and_round():
    # With both of them the identity it is 2^x / sum 2^x, whose derivative times dy is
    # ln 2 * p * (dy - sum p' dy), where p' is the share before rounding.
    x = tf.constant([[0.0, 1.0, 3.0]])
    dy = np.array([[1.0, -2.0, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        p = shiftmax(x)
        loss = tf.reduce_sum(p * dy)
    share = 2.0 ** x.numpy() / (2.0 ** x.numpy()).sum()
    p = p.numpy()
    expected = math.log(2) * (p * dy - share * (p * dy).sum())
    np.testing.assert_allclose(tape.gradient(loss, x), expected, rtol=1e-5)


def test_empty_logits_and_missing_axes_are_invalid_arguments():
    for logits, axis in ((tf.zeros((2, 0)), -1), (tf.zeros((2, 3)), 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="shiftmax") as caught:
            shiftmax(logits, axis)
        assert isinstance(caught.value, LarqliteError)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(DtypeError, match="int32"):
        shiftmax(tf.constant([1, 2]))
