"""Other fractional bits and value bits: shifts that round half up, saturate, or are refused."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import assume, given

from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.tensors.exact import (
    SHAPE,
    WIDTHS,
    check,
    fixed_points,
    floored,
    fraction_bits,
    half_up,
    objects,
    quick,
    saturate,
)


@quick
@given(fixed_points(), WIDTHS, fraction_bits())
def test_rescale_shifts_to_the_left_or_rounds_half_up(drawn, bits, frac):
    fp, values, old_bits, old = drawn
    shift = np.asarray(frac - old)
    assume(np.all(shift < min(bits, old_bits)))
    expected = half_up(values, np.broadcast_to(shift, SHAPE))
    check(fp.rescale(frac), saturate(expected, old_bits), old_bits, frac)
    result, applied = fp.rescale(frac, bits, with_shift=True)
    check(result, saturate(expected, bits), bits, frac)
    np.testing.assert_array_equal(np.broadcast_to(applied, shift.shape), shift)


def test_ties_round_toward_positive_infinity_at_every_width():
    for bits in range(2, 33):
        for shift in (1, 2, bits - 1, bits, bits + 1, bits + 8):
            half = 2 ** (shift - 1)
            values = np.array([half, -half, half - 1, -half - 1, 3 * half, -3 * half])
            values = saturate(objects(values), bits)
            fp = FixedPoint(values.astype(np.int64), bits, 5)
            check(fp.rescale(5 - shift), half_up(values, -shift), bits, 5 - shift)


@quick
@given(fixed_points(), st.integers(0, 20), WIDTHS)
def test_downscale_and_upscale_are_the_two_directions(drawn, distance, bits):
    fp, values, old_bits, old = drawn
    lower = old - np.int32(distance)
    expected = saturate(half_up(values, -distance), old_bits)
    check(fp.downscale(lower), expected, old_bits, lower)
    result, shift = fp.downscale(lower, with_shift=True)
    check(result, expected, old_bits, lower)
    assert np.all(np.asarray(shift) == -distance)
    distance = distance % min(bits, old_bits)
    higher = old + np.int32(distance)
    expected = values * 2**distance
    check(fp.upscale(higher), saturate(expected, old_bits), old_bits, higher)
    result, shift = fp.upscale(higher, bits, with_shift=True)
    check(result, saturate(expected, bits), bits, higher)
    assert np.all(np.asarray(shift) == distance)
    qf, shift = QFloat(fp, 0.3).upscale(higher, bits, with_shift=True)
    check(qf.fp, saturate(expected, bits), bits, higher)
    assert np.all(np.asarray(shift) == distance)
    assert float(qf.scales) == np.float32(0.3)


@quick
@given(fixed_points(), st.integers(0, 20))
def test_promote_keeps_the_numbers(drawn, more):
    fp, values, bits, frac = drawn
    check(fp.promote(bits + more), values, bits + more, frac)
    check(QFloat(fp, 0.3).promote(bits + more).fp, values, bits + more, frac)


@quick
@given(fixed_points(), st.integers(0, 20))
def test_expand_gives_all_channels_the_most_fractional_bits(drawn, more):
    fp, values, bits, frac = drawn
    target = np.max(frac)
    shift = np.broadcast_to(target - frac, SHAPE)
    assume(np.all(shift < bits + more))
    result, applied = fp.expand(bits + more)
    check(result, saturate(half_up(values, shift), bits + more), bits + more, target)
    np.testing.assert_array_equal(np.broadcast_to(applied, SHAPE), shift)
    assert result.per_tensor


@quick
@given(fixed_points(), fixed_points(), st.integers(0, 12))
def test_align_takes_the_larger_fractional_bits_for_each_channel(drawn, other, more):
    fp, values, bits, frac = drawn
    target = np.maximum(frac, other[3])
    shift = np.broadcast_to(target - frac, SHAPE)
    assume(np.all(shift < bits))
    result, applied = fp.align(other[0])
    check(result, saturate(half_up(values, shift), bits), bits, target)
    np.testing.assert_array_equal(np.broadcast_to(applied, SHAPE), shift)
    result, _ = fp.align(other[0], bits + more)
    check(result, saturate(half_up(values, shift), bits + more), bits + more, target)


@quick
@given(fixed_points())
def test_floor_removes_the_fractional_bits(drawn):
    fp, values, bits, frac = drawn
    result, shift = fp.floor()
    expected = floored(values, np.broadcast_to(-np.asarray(frac), SHAPE))
    check(result, saturate(expected, bits), bits, 0)
    np.testing.assert_array_equal(shift, frac)


@quick
@given(fixed_points(), st.lists(st.integers(-34, 34), min_size=12, max_size=12))
def test_shift_floors_to_the_right_and_saturates_to_the_left(drawn, shifts):
    fp, values, bits, frac = drawn
    shifts = np.array(shifts, np.int32).reshape(SHAPE)
    check(fp.shift(shifts), saturate(floored(values, shifts), bits), bits, frac)
    check(fp.shift(-1), saturate(floored(values, -1), bits), bits, frac)


@quick
@given(fixed_points(), st.integers(0, 33))
def test_the_shift_operators(drawn, distance):
    fp, values, bits, frac = drawn
    check(fp >> distance, values, bits, frac + distance)
    check(fp << distance, saturate(values * 2**distance, bits), bits, frac)
    if np.ndim(frac):
        distances = np.arange(4, dtype=np.int32)
        check(fp >> distances, values, bits, frac + distances)
        check(fp << distances, saturate(values * 2**distances, bits), bits, frac)
