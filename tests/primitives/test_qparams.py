"""Levels of ranges and ranges of batches, against plain NumPy and TensorFlow's operation."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings, strategies as st

from larqlite.primitives import batch_range, levels_of, nudged

f32 = np.float32
BITS = [(2, False), (2, True), (8, False), (8, True), (16, False)]
# Powers of two and their neighbours have the ties; 1e30 and 1e-25 the ends of float32.
magnitudes = st.sampled_from([0.0, 1.0, 0.5, 127.0, 6.0, 1e30, 1e-25]) | st.floats(
    float(f32(1e-25)), float(f32(1e30)), width=32
)


def by_numpy(minimum, maximum, bits, narrow):
    """Ends, step and the place of 0, one float32 operation after the other."""
    first, last = f32(narrow), f32(2**bits - 1)
    step = (maximum - minimum) / (last - first)
    place = np.floor((first - minimum / step) + f32(0.5))
    place = np.minimum(np.maximum(place, first), last)
    return (first - place) * step, (last - place) * step, step, place - first


@pytest.mark.parametrize(("bits", "narrow"), BITS)
@settings(max_examples=60, deadline=None)
@given(below=magnitudes, above=magnitudes)
@example(below=1.0, above=1.0)
@example(below=0.0, above=3.0)
@example(below=3.0, above=0.0)
def test_a_range_is_moved_so_that_zero_is_a_level(bits, narrow, below, above):
    minimum, maximum = f32(-below), f32(above)
    found = [float(part) for part in nudged(minimum, maximum, bits, narrow)]
    if below == above == 0:
        assert found[2] == 0
        return
    expected = by_numpy(minimum, maximum, bits, narrow)
    assert found == [float(part) for part in expected]
    lowest, _, step, zero = expected
    assert lowest + zero * step == 0


@pytest.mark.parametrize(("bits", "narrow"), BITS)
@settings(max_examples=25, deadline=None)
@given(ends=st.lists(st.tuples(magnitudes, magnitudes), min_size=3, max_size=3))
@example(ends=[(0.0, 0.0), (1.0, 1.0), (0.0, 2.0)])
def test_levels_give_what_the_operation_of_tensorflow_gives(bits, narrow, ends):
    minimum = np.array([-below for below, _ in ends], f32)
    maximum = np.array([above for _, above in ends], f32)
    levels = levels_of(tf.constant(minimum), tf.constant(maximum), bits, narrow)
    lowest, highest, zero, step, per_unit, is_nothing = map(np.asarray, levels)
    assert is_nothing.tolist() == [below == above == 0 for below, above in ends]
    # Values all over the range and beyond, and all that lie in the middle of two levels.
    parts = np.linspace(-0.2, 1.2, 50, dtype=f32)[:, None]
    middles = lowest + (np.arange(8, dtype=f32)[:, None] + f32(0.5)) * step
    x = np.concatenate([minimum + (maximum - minimum) * parts, middles])
    clipped = np.maximum(np.minimum(x, highest), lowest)
    codes = np.floor((clipped - lowest) * per_unit - zero + f32(0.5))
    expected = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        x, minimum, maximum, num_bits=bits, narrow_range=narrow
    )
    np.testing.assert_array_equal(codes * step, expected)


def expected_range(x, symmetric, narrow, bits):
    if bits == 1:
        scale = np.abs(x).mean() if x.size else 0
        return -scale, scale
    low, high = min([*x, 0]), max([*x, 0])
    if symmetric and narrow:
        low, high = -max(-low, high), max(-low, high)
    elif symmetric:
        ratio = f32((2**bits - 2) / 2**bits)
        low, high = min(low, high / -ratio), max(high, low * -ratio)
    return (0, 0) if high - low < 1e-30 else (low, high)


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@settings(max_examples=20, deadline=None)
@given(
    x=st.lists(st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False))
    | st.sampled_from([[], [0.0], [0.7] * 4, [-0.7] * 4, [1e-31], [-3.0, np.inf]])
)
def test_a_batch_has_the_range_that_numpy_finds(symmetric, narrow, bits, x):
    x = np.array(x, f32)
    found = [float(end) for end in batch_range(x, symmetric, narrow, bits)]
    expected = expected_range(x, symmetric, narrow, bits)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if bits == 1 else 0)
    if x.size:
        rows = np.stack([x, x], -1)
        each = batch_range(rows, symmetric, narrow, bits, per_axis=True)
        if not (symmetric and narrow and max(found) < 1e-30):
            np.testing.assert_allclose(
                each, np.transpose([found] * 2), rtol=1e-6 if bits == 1 else 0
            )
