"""Rounding and powers of two, against NumPy and Python's fractions, with their gradients."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings, strategies as st

from larqlite import primitives

# What each is, said by Python about an exact number.
BY_PYTHON = {
    "half_up": lambda x: math.floor(x + Fraction(1, 2)),
    "round_half_up": lambda x: math.floor(x + Fraction(1, 2)),
    "round_half_even": round,
    "floor": math.floor,
    "truncate": math.trunc,
    "sign": lambda x: (x > 0) - (x < 0),
}
halves = st.integers(-(2**22), 2**22).map(lambda n: n / 2)
small = st.floats(-(2**15), 2**15, width=16, allow_subnormal=False)


@pytest.mark.parametrize("name", BY_PYTHON)
@settings(max_examples=50, deadline=None)
@given(numbers=st.lists(halves | small, min_size=1, max_size=20))
@example(numbers=[-2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, 2.0**22 - 0.5])
def test_ties_fall_as_python_says(name, numbers):
    function = getattr(primitives, name)
    for dtype in ("float32", "float64"):
        found = function(tf.constant(numbers, dtype))
        assert found.dtype == dtype
        assert found.numpy().tolist() == [
            BY_PYTHON[name](Fraction(number)) for number in numbers
        ]


@pytest.mark.parametrize("name", BY_PYTHON)
def test_what_is_no_number_stays_that_and_infinities_stay(name):
    found = getattr(primitives, name)(tf.constant([np.nan, np.inf, -np.inf]))
    end = 1.0 if name == "sign" else np.inf
    np.testing.assert_array_equal(found, [np.nan, end, -end])


@pytest.mark.parametrize("name", BY_PYTHON)
def test_the_gradient_goes_straight_through_but_of_the_plain_one(name):
    x = tf.constant([-1.5, 0.0, 0.25, 7.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = getattr(primitives, name)(x) * [1.0, 2.0, 3.0, 4.0]
    gradient = tape.gradient(y, x)
    if name == "half_up":
        assert gradient is None
    else:
        assert gradient.numpy().tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("dtype", "most"), [("float32", 126), ("float64", 1022)])
def test_powers_of_two_are_exact_at_every_exponent(dtype, most):
    exponents = np.arange(-most, most + 2)
    found = primitives.exp2(tf.constant(exponents), dtype).numpy()
    np.testing.assert_array_equal(found, np.ldexp(np.ones(1, dtype), exponents))


@pytest.mark.parametrize(("dtype", "most"), [("float32", 126), ("float64", 1022)])
def test_logarithms_are_exact_beside_every_power_of_two(dtype, most):
    powers = np.ldexp(np.ones(1, dtype), np.arange(1 - most, most))
    for factor in (np.nextafter(1, 0, dtype=dtype), 1, np.nextafter(1, 2, dtype=dtype)):
        x = powers * np.dtype(dtype).type(factor)
        mantissa, exponent = np.frexp(x)
        expected = np.where(mantissa == 0.5, exponent - 1, exponent)
        np.testing.assert_array_equal(primitives.ceil_log2(tf.constant(x)), expected)
    assert int(primitives.ceil_log2(tf.constant(0, dtype))) == -most - 1


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 2**53))
@example(n=1)
@example(n=5931641)  # the first whole number above 2^22.5
@example(n=5931640)
def test_the_rounded_logarithm_of_whole_numbers_is_exact(n):
    # n > 2^(k + 1/2) where n^2 > 2^(2k + 1).
    expected = next(k for k in range(55) if n * n < 2 ** (2 * k + 1))
    assert int(primitives.round_log2(tf.constant(n, tf.float64))) == expected
    if n <= primitives.FLOAT32_LIMIT:
        assert int(primitives.round_log2(tf.constant(n, tf.float32))) == expected
