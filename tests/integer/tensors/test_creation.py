"""Creating quantized tensors: saturation, both kinds of range, ties to even."""

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given

from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from tests.integer.tensors.exact import (
    CHANNELS,
    SHAPE,
    WIDTHS,
    ceil_log2,
    check,
    fixed_points,
    fraction_bits,
    half_even,
    numbers,
    objects,
    quick,
    saturate,
)

FLOATS = st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False)
SCALES = st.floats(2.0**-20, 2.0**20, width=32)
COUNT = int(np.prod(SHAPE))


@quick
@given(fixed_points())
def test_values_saturate_at_both_ends_of_the_declared_range(drawn):
    check(*drawn)
    fp, values, bits, _ = drawn
    again = FixedPoint(fp.values, bits, 0)
    check(again, values, bits, 0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_every_integer_dtype_is_taken_as_it_is(dtype):
    values = np.array([np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max], dtype)
    values = np.clip(values.astype(object), -(2**52), 2**52).astype(dtype)
    for bits in (3, 7, 8, 31, 52):
        check(FixedPoint(values, bits, 0), saturate(objects(values), bits), bits, 0)


def test_integers_above_two_to_the_24_are_kept_apart_from_their_neighbours():
    # In float32 each of these pairs is one number.
    for bits in range(25, 33):
        values = [2**24 + 1, 2**24, 2**bits - 1, 2**bits - 2, 1 - 2**bits]
        check(FixedPoint(np.array(values), bits, 0), values, bits, 0)


@quick
@given(
    st.data(), WIDTHS, st.lists(FLOATS, min_size=COUNT, max_size=COUNT), fraction_bits()
)
def test_quantize_rounds_to_the_nearest_integer_and_ties_to_even(data, bits, x, frac):
    x = np.array(x, np.float32).reshape(SHAPE)
    # One row of exact ties.
    ties = data.draw(st.lists(st.integers(-(2**20), 2**20), min_size=4, max_size=4))
    x[0] = [
        np.ldexp(2.0 * n + 1, -f - 1) for n, f in zip(ties, frac + [0] * 4, strict=True)
    ]
    check(
        FixedPoint.quantize(x, bits, frac),
        saturate(half_even(x, frac), bits),
        bits,
        frac,
    )


@quick
@given(WIDTHS, st.lists(FLOATS, min_size=COUNT, max_size=COUNT))
def test_without_frac_bits_the_largest_magnitude_decides(bits, x):
    x = np.array(x, np.float32)
    whole = np.all(x == np.floor(x))
    frac = 0 if whole else min(bits - ceil_log2(float(np.max(np.abs(x)))), bits)
    check(FixedPoint.quantize(x, bits), saturate(half_even(x, frac), bits), bits, frac)


@quick
@given(WIDTHS, st.lists(SCALES, min_size=COUNT, max_size=COUNT), st.booleans())
def test_max_frac_bits_is_exact_next_to_powers_of_two(bits, ranges, clamp):
    powers = [2.0**k for k in range(-20, 21)]
    near = [np.nextafter(np.float32(p), np.float32(t)) for p in powers for t in (0, 99)]
    ranges = np.array([*ranges, *powers, *near], np.float32)
    expected = [bits - ceil_log2(float(r)) for r in ranges]
    expected = [min(e, bits) if clamp else e for e in expected]
    found = FixedPoint.max_frac_bits(bits, ranges, clamp)
    np.testing.assert_array_equal(found, expected)
    # With these fractional bits no range saturates by more than one.
    scaled = half_even(ranges, np.array(expected))
    assert np.all(scaled <= 2**bits)


def test_a_range_of_zero_takes_all_bits_as_fractional():
    np.testing.assert_array_equal(FixedPoint.max_frac_bits(7, [0.0, 0.5]), [7, 7])
    check(QFloat.quantize([0.0], 7, 1.0).fp, [0], 7, 0)
    unclamped = FixedPoint.max_frac_bits(7, [0.0, 0.25], clamp=False).numpy()
    assert np.all(np.isfinite(unclamped))
    assert unclamped[1] == 9


def test_ranges_of_the_reference_have_the_published_fractional_bits():
    ranges = [0.01, 0.5, 1.0, 1.01, 2, 3, 4, 127, 128, 129, 1e4]
    expected = [7, 7, 7, 6, 6, 5, 5, 0, 0, -1, -7]
    np.testing.assert_array_equal(FixedPoint.max_frac_bits(7, ranges), expected)
    ranges, expected = [0.01, 0.25, 0.26, 0.51], [13, 9, 8, 7]
    np.testing.assert_array_equal(FixedPoint.max_frac_bits(7, ranges, False), expected)


@quick
@given(fixed_points())
def test_to_float_gives_the_nearest_float32(drawn):
    fp, values, _, frac = drawn
    expected = [float(number) for number in numbers(values, frac).ravel()]
    expected = np.array(expected, np.float64).astype(np.float32).reshape(SHAPE)
    np.testing.assert_array_equal(fp.to_float(), expected)
    assert fp.to_float().dtype == tf.float32


@quick
@given(fixed_points())
def test_sign_abs_negation_and_copies(drawn):
    fp, values, bits, frac = drawn
    check(fp.sign, objects(np.sign(values.astype(float))), bits, 0)
    for absolute in (fp.abs(), abs(fp)):
        check(absolute, saturate(np.abs(values), bits), bits, frac)
    check(-fp, saturate(-values, bits), bits, frac)
    copy = fp.clone()
    check(copy, values, bits, frac)
    assert copy is not fp
    assert isinstance(copy, QTensor)
    assert isinstance(fp.name, str)
    assert fp.per_tensor == (np.ndim(frac) == 0)
    assert "FixedPoint" in repr(fp) + str(fp)


@quick
@given(WIDTHS, st.lists(SCALES, min_size=4, max_size=4), fixed_points())
def test_optimal_scales_put_the_range_on_the_largest_integer(bits, ranges, drawn):
    ranges = np.array(ranges, np.float32)
    scales = QFloat.optimal_scales(ranges, bits)
    expected = ranges.astype(np.float64) / (2**bits - 1)
    np.testing.assert_allclose(scales, expected, rtol=2**-23)
    x = np.stack([ranges, -ranges])
    if bits <= 20:
        top = objects(np.full((2, CHANNELS), 2**bits - 1)) * np.array([[1], [-1]])
        check(QFloat.quantize(x, bits, scales).fp, top, bits, 0)
    expected = [bits - ceil_log2(float(r)) for r in ranges / scales.numpy()]
    np.testing.assert_array_equal(QFloat.max_frac_bits(bits, ranges, scales), expected)


@quick
@given(WIDTHS, st.lists(SCALES, min_size=4, max_size=4))
def test_each_quantized_scale_has_fractional_bits_of_its_own(bits, scales):
    scales = np.array([*scales, 0.25, 1.0, 3.0], np.float32)
    frac = np.array([bits - ceil_log2(float(s)) for s in scales])
    found = QFloat.quantize_scales(scales, bits)
    check(found, saturate(half_even(scales, frac), bits), bits, frac)


@quick
@given(
    WIDTHS,
    st.lists(FLOATS, min_size=COUNT, max_size=COUNT),
    st.lists(SCALES, min_size=4, max_size=4),
    st.integers(-4, 8),
)
def test_qfloat_quantize_takes_the_scales_as_they_are_given(bits, x, scales, frac):
    x = np.array(x, np.float32).reshape(SHAPE)
    scales = np.array(scales, np.float32)
    found = QFloat.quantize(x, bits, scales, frac)
    check(found.fp, saturate(half_even(x / scales, frac), bits), bits, frac)
    np.testing.assert_array_equal(found.scales, scales)
    assert not found.per_tensor
    expected = found.fp.to_float().numpy().astype(np.float64) * scales
    np.testing.assert_allclose(found.to_float(), expected, rtol=2**-22)
    assert QFloat(found.fp, 0.5).per_tensor
