"""Types that hold integers, codes of a width, half steps, and per tensor or per axis."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings, strategies as st

from larqlite.errors import ArgumentError
from larqlite.primitives import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    INT32_LIMIT,
    float_type,
    float_type_with_halves,
    granularity,
    half_step,
    int_type,
    other_axes,
    shape_along,
    signed_codes,
)


@pytest.mark.parametrize(
    ("limit", "dtype"), [(FLOAT32_LIMIT, "float32"), (FLOAT64_LIMIT, "float64")]
)
def test_up_to_its_limit_a_float_type_holds_integers_and_above_not(limit, dtype):
    number = np.dtype(dtype).type
    assert {int(number(limit - n)) for n in range(3)} == {limit - n for n in range(3)}
    assert int(number(limit + 1)) != limit + 1
    assert float_type(limit) == dtype


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(0, FLOAT64_LIMIT))
@example(limit=FLOAT32_LIMIT)
@example(limit=FLOAT32_LIMIT + 1)
@example(limit=INT32_LIMIT - 1)
@example(limit=INT32_LIMIT)
def test_the_type_that_is_chosen_holds_the_limit(limit):
    assert int(np.dtype(float_type(limit)).type(limit)) == limit
    assert limit <= np.iinfo(int_type(limit)).max
    assert -limit >= np.iinfo(int_type(limit)).min


@settings(max_examples=50, deadline=None)
@given(value=st.integers(0, FLOAT32_LIMIT), shift=st.integers(0, 24))
@example(value=2**23, shift=24)
@example(value=2**23 + 1, shift=1)
def test_a_half_is_exact_in_the_type_with_halves(value, shift):
    number = np.dtype(float_type_with_halves(value)).type
    for signed in (value, -value):
        found = np.floor(number(signed) * number(2.0**-shift) + number(0.5))
        assert int(found) == floor(Fraction(signed, 2**shift) + Fraction(1, 2))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_the_codes_of_a_width_are_those_of_the_type(dtype):
    info = np.iinfo(dtype)
    assert signed_codes(info.bits - 1) == (info.min, info.max)


@settings(max_examples=100, deadline=None)
@given(value=st.integers(-(2**31), 2**31), right=st.integers(0, 30))
@example(value=-2, right=2)
@example(value=2, right=2)
def test_a_half_step_before_a_shift_rounds_to_the_nearest_ties_up(value, right):
    expected = floor(Fraction(value, 2**right) + Fraction(1, 2))
    assert (value + half_step(right)) >> right == expected
    shifts = np.int64([right])
    assert (np.int64([value]) + half_step(shifts)) >> shifts == [expected]


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_number_for_each_index_comes_back_along_its_axis(axis):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    by_loop = np.array([np.abs(part).max() for part in np.moveaxis(x, axis, 0)])
    found = np.abs(x).max(axis=tuple(other_axes(3, axis)))
    np.testing.assert_array_equal(found, by_loop)
    in_tensorflow = tf.reduce_max(tf.abs(x), other_axes(3, axis))
    np.testing.assert_array_equal(in_tensorflow, by_loop)
    scaled = x / by_loop.reshape(shape_along(3, axis))
    np.testing.assert_array_equal(np.abs(scaled).max(tuple(other_axes(3, axis))), 1)
    assert scaled.shape == x.shape


def test_a_vector_is_channels_and_a_scalar_has_none():
    assert other_axes(1) == other_axes(0) == []
    assert tf.reduce_max(tf.constant([1.0, 2.0]), other_axes(1)).shape == (2,)


def test_a_word_that_is_no_granularity_is_refused_with_those_that_are():
    assert granularity("per-axis", "somewhere") == "per-axis"
    with pytest.raises(ArgumentError, match=r"somewhere: axis='per-axi'.*per-axis"):
        granularity("per-axi", "somewhere")
