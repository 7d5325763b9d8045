"""Sums, products, quotients, comparisons, limits and reductions against Python integers."""

import operator

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given

from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.tensors.exact import (
    SHAPE,
    WIDTHS,
    check,
    fixed_points,
    integers_of,
    numbers,
    objects,
    quick,
    saturate,
    truncated,
)

COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge]


@st.composite
def aligned_pairs(draw):
    """Two tensors with the same fractional bits and widths of their own."""
    x = draw(fixed_points())
    return x, draw(fixed_points(frac_bits=x[3]))


@quick
@given(aligned_pairs())
def test_sums_and_differences_saturate_at_the_range_of_the_left_operand(pair):
    (x, a, bits, frac), (y, b, _, _) = pair
    for total in (x + y, tf.add(x, y)):
        check(total, saturate(a + b, bits), bits, frac)
    for difference in (x - y, tf.subtract(x, y)):
        check(difference, saturate(a - b, bits), bits, frac)


@quick
@given(fixed_points(), st.integers(-300, 300))
def test_python_integers_are_numbers_with_the_fractional_bits_of_the_tensor(drawn, n):
    x, a, bits, frac = drawn
    assume(np.all(np.asarray(frac) >= 0))
    scaled = saturate(n * 2 ** objects(np.broadcast_to(frac, SHAPE)), 32)
    for total in (x + n, n + x):
        check(total, saturate(a + scaled, bits), bits, frac)
    check(x - n, saturate(a - scaled, bits), bits, frac)
    check(x * n, saturate(a * n, bits), bits, frac)
    check(n * x, saturate(a * n, bits), bits, frac)
    if n:
        check(x / n, saturate(truncated(a, n), bits), bits, frac)
    assert np.array_equal(x > n, numbers(a, frac) > n)


@quick
@given(fixed_points(), fixed_points())
def test_fractional_bits_of_products_add(drawn, other):
    (x, a, bits, frac), (y, b, _, other_frac) = drawn, other
    for product in (x * y, tf.multiply(x, y)):
        check(product, saturate(a * b, bits), bits, frac + other_frac)


@quick
@given(fixed_points(), fixed_points(nonzero=True))
def test_quotients_are_truncated_toward_zero_and_fractional_bits_subtract(drawn, other):
    (x, a, bits, frac), (y, b, _, other_frac) = drawn, other
    for quotient in (x / y, tf.divide(x, y)):
        expected = saturate(truncated(a, b), bits)
        check(quotient, expected, bits, frac - other_frac)


@quick
@given(fixed_points(), st.integers(0, 4))
def test_powers_are_repeated_products(drawn, exponent):
    x, a, bits, frac = drawn
    check(x**exponent, saturate(a**exponent, bits), bits, frac * exponent)


@quick
@given(fixed_points(), fixed_points())
def test_comparisons_are_those_of_the_numbers(drawn, other):
    (x, a, _, frac), (y, b, _, other_frac) = drawn, other
    left, right = numbers(a, frac), numbers(b, other_frac)
    for comparison in COMPARISONS:
        found = comparison(x, y)
        assert np.array_equal(found, comparison(left, right)), comparison
        assert np.array_equal(comparison(x, x), comparison(left, left)), comparison


@quick
@given(aligned_pairs(), st.data())
def test_maximum_minimum_and_clip_keep_every_number_that_they_choose(pair, data):
    (x, a, bits, frac), (y, b, other_bits, _) = pair
    most = max(bits, other_bits)
    check(tf.maximum(x, y), np.maximum(a, b), most, frac)
    check(tf.minimum(x, y), np.minimum(a, b), most, frac)
    z, c, *_ = data.draw(fixed_points(bits=bits, frac_bits=frac))
    w, d, *_ = data.draw(fixed_points(bits=bits, frac_bits=frac))
    low, high = tf.minimum(z, w), tf.maximum(z, w)
    expected = np.minimum(np.maximum(a, np.minimum(c, d)), np.maximum(c, d))
    check(tf.clip_by_value(x, low, high), expected, bits, frac)
    qf = tf.clip_by_value(QFloat(x, 0.3), QFloat(low, 0.3), QFloat(high, 0.3))
    check(qf.fp, expected, bits, frac)
    check(tf.maximum(QFloat(x, 0.3), QFloat(y, 0.3)).fp, np.maximum(a, b), most, frac)


@quick
@given(fixed_points(per_axis=False), fixed_points(per_axis=True))
def test_sums_and_maxima_over_axes(per_tensor, per_axis):
    x, a, bits, frac = per_tensor
    for axis in (None, 0, 1, -1, (0, 1)):
        for keep in (False, True):
            found = tf.reduce_sum(x, axis=axis, keepdims=keep)
            expected = np.sum(a, axis=axis, keepdims=keep)
            check(found, saturate(np.asarray(expected, object), bits), bits, frac)
            found = tf.reduce_max(x, axis=axis, keepdims=keep)
            expected = np.max(a, axis=axis, keepdims=keep)
            check(found, np.asarray(expected, object), bits, frac)
    qf = tf.reduce_sum(QFloat(x, 0.3), axis=-1)
    check(qf.fp, saturate(np.sum(a, axis=-1), bits), bits, frac)
    y, b, bits, frac = per_axis
    found = tf.reduce_sum(y, axis=0, keepdims=True)
    check(found, saturate(np.sum(b, axis=0, keepdims=True), bits), bits, frac)


def ends_of(bits: int) -> np.ndarray:
    """The integers at which something goes wrong first."""
    top = 2**bits
    ends = {-top, 1 - top, -top // 2, -2, -1, 0, 1, 2, top // 2, top - 2, top - 1}
    return saturate(objects(sorted(ends)), bits)


# Around the ends of bytes, of float32's 24 bits and of accumulators.
FAST_WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 27, 28, 31, 32)


@pytest.mark.parametrize(
    "bits",
    [
        pytest.param(bits, marks=[] if bits in FAST_WIDTHS else pytest.mark.slow)
        for bits in range(1, 33)
    ],
)
def test_every_pair_of_the_ends_of_every_width(bits):
    for other_bits in {1, bits, 33 - bits, 32}:
        a, b = ends_of(bits)[:, None], ends_of(other_bits)[None, :]
        x = FixedPoint(a.astype(np.int64), bits, 2)
        y = FixedPoint(b.astype(np.int64), other_bits, 2)
        check(x + y, saturate(a + b, bits), bits, 2)
        check(x - y, saturate(a - b, bits), bits, 2)
        check(x * y, saturate(a * b, bits), bits, 4)
        assert np.array_equal(x < y, a < b)
        assert np.array_equal(x >= y, a >= b)
        divisor = b[:, b[0] != 0]
        z = FixedPoint(divisor.astype(np.int64), other_bits, 2)
        check(x / z, saturate(truncated(a, divisor), bits), bits, 0)


@quick
@given(fixed_points(), fixed_points(nonzero=True), st.floats(2.0**-9, 9, width=32))
def test_a_qfloat_computes_as_its_integers_and_its_scales_multiply(drawn, other, scale):
    (x, a, bits, frac), (y, b, _, other_frac) = drawn, other
    scales = np.array([scale, 1.5, 0.25, 3.0], np.float32)
    q = QFloat(x, scales)
    total = q + QFloat(x, scales)
    check(total.fp, saturate(a + a, bits), bits, frac)
    np.testing.assert_array_equal(total.scales, scales)
    check((q - QFloat(x, scales)).fp, a - a, bits, frac)
    quotient = tf.divide(q, y)
    check(quotient.fp, saturate(truncated(a, b), bits), bits, frac - other_frac)
    np.testing.assert_array_equal(quotient.scales, scales)
    left = QFloat(FixedPoint(a.astype(np.int64), bits, 3), 0.5)
    product = tf.multiply(left, QFloat(y, scales))
    check(product.fp, saturate(a * b, bits), bits, 3 + other_frac)
    np.testing.assert_array_equal(product.scales, np.float32(0.5) * scales)
    product = tf.multiply(left.fp, QFloat(y, scales))
    check(product.fp, saturate(a * b, bits), bits, 3 + other_frac)
    np.testing.assert_array_equal(product.scales, scales)


@quick
@given(fixed_points(bits=st.integers(1, 20)), st.integers(2, 10))
def test_to_fixed_point_multiplies_by_the_quantized_scales(drawn, scale_bits):
    x, a, bits, frac = drawn
    scales = np.array([0.3, 1.5, 1.0, 100.0], np.float32)
    quantized = QFloat.quantize_scales(scales, scale_bits)
    q = QFloat(x, scales).promote(bits + scale_bits + 1)
    fp, found = q.to_fixed_point(scale_bits)
    integers = integers_of(quantized)
    check(found, integers, scale_bits, quantized.frac_bits)
    check(fp, a * integers, bits + scale_bits + 1, frac + quantized.frac_bits.numpy())
    eight, _ = q.to_fixed_point()
    integers = integers_of(QFloat.quantize_scales(scales, 8))
    assert eight.value_bits == bits + scale_bits + 1
    expected = saturate(a * integers, bits + scale_bits + 1)
    assert np.array_equal(integers_of(eight), expected)


@quick
@given(WIDTHS, st.integers(2, 40))
def test_long_sums_are_exact(bits, count):
    values = objects(np.full((count, 64), 2**bits - 1))
    x = FixedPoint(values.astype(np.int64), bits, 0).promote(45)
    check(tf.reduce_sum(x), np.sum(values), 45, 0)
