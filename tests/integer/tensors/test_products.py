"""Matrix products and convolutions against Python integers and NumPy's int64."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given

from larqlite.integer.tensors import FixedPoint, QFloat, _products
from tests.integer.tensors.convolutions import (
    convolved,
    depthwise_convolved,
    transpose_convolved,
)
from tests.integer.tensors.exact import check, integers_around, objects, quick, saturate

PADDINGS = ("VALID", "SAME")
FRACTION = st.integers(-4, 12)


@st.composite
def operands(draw, left, right, widths=(32, 32), per_axis=True):
    """Two tensors of given shapes: `(FixedPoint, integers)` each, and what adds up."""
    made = []
    for shape, most in zip((left, right), widths, strict=True):
        bits = draw(st.integers(1, most))
        values = draw(integers_around(bits, int(np.prod(shape))))
        made.append((saturate(values, bits).reshape(shape), bits))
    (a, bits), (b, other_bits) = made
    frac, other = draw(FRACTION), draw(FRACTION)
    if per_axis and draw(st.booleans()):
        other = other + np.arange(right[-1], dtype=np.int32)
    x = FixedPoint(a.astype(np.int64), bits, frac)
    y = FixedPoint(b.astype(np.int64), other_bits, other)
    return x, y, a, b, bits, frac + other


@quick
@given(operands((3, 5), (5, 2)), operands((2, 3, 5), (2, 4, 5), per_axis=False))
def test_matrix_products_of_every_width(drawn, batched):
    x, y, a, b, bits, frac = drawn
    for product in (tf.matmul(x, y), _products.matmul(x, y)):
        check(product, saturate(a @ b, bits), bits, frac)
    qf = tf.matmul(QFloat(x, 0.5), QFloat(y, [3.0, 0.25]))
    check(qf.fp, saturate(a @ b, bits), bits, frac)
    np.testing.assert_array_equal(qf.scales, [1.5, 0.125])
    qf = tf.matmul(x, QFloat(y, [3.0, 0.25]))
    check(qf.fp, saturate(a @ b, bits), bits, frac)
    np.testing.assert_array_equal(qf.scales, [3.0, 0.25])
    x, y, a, b, bits, frac = batched
    expected = saturate(np.matmul(a, np.swapaxes(b, 1, 2)), bits)
    check(tf.matmul(x, y, transpose_b=True), expected, bits, frac)
    check(_products.matmul(x, y, transpose_b=True), expected, bits, frac)


@quick
@given(
    operands((2, 5, 4, 3), (3, 2, 3, 2)),
    st.sampled_from(PADDINGS),
    st.sampled_from([1, 2, (2, 1)]),
)
def test_convolutions_of_every_width(drawn, padding, strides):
    x, w, a, b, bits, frac = drawn
    expected = saturate(convolved(a, b, strides, padding, 1), bits)
    found = tf.nn.convolution(x, w, strides=strides, padding=padding)
    check(found, expected, bits, frac)
    qf = tf.nn.convolution(x, QFloat(w, [3.0, 0.25]), strides=strides, padding=padding)
    check(qf.fp, expected, bits, frac)
    np.testing.assert_array_equal(qf.scales, [3.0, 0.25])
    qf = tf.nn.convolution(QFloat(x, 0.5), QFloat(w, 0.25), strides, padding)
    check(qf.fp, expected, bits, frac)
    assert float(qf.scales) == 0.125
    expected = saturate(
        convolved(a, b, 1, padding, 2 if padding == "SAME" else 1), bits
    )
    dilations = 2 if padding == "SAME" else 1
    check(_products.convolution(x, w, 1, padding, dilations), expected, bits, frac)


@quick
@given(
    operands((2, 4, 3, 4), (2, 2, 4, 3)),
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_channels_with_fractional_bits_of_their_own_are_aligned_inside(drawn, more):
    x, w, a, b, bits, frac = drawn
    more = np.array(more, np.int32)
    x = FixedPoint(x.values, bits, x.frac_bits + more)
    # As `expand` to the value bits that they have would.
    shifted = saturate(a * 2 ** objects(max(more) - more), bits)
    frac = frac + max(more)
    expected = saturate(convolved(shifted, b, 1, "SAME", 1), bits)
    check(tf.nn.convolution(x, w, padding="SAME"), expected, bits, frac)
    expected = saturate(shifted @ b[0, 0], bits)
    matrix = FixedPoint(w.values[0, 0], w.value_bits, w.frac_bits)
    check(tf.matmul(x, matrix), expected, bits, frac)
    q = tf.matmul(x, QFloat(matrix, [1.0, 2.0, 3.0]))
    check(q.fp, expected, bits, frac)
    np.testing.assert_array_equal(q.scales, [1.0, 2.0, 3.0])


@quick
@given(operands((2, 4, 5, 4), (2, 3, 2, 6)), st.sampled_from(PADDINGS))
def test_grouped_convolutions(drawn, padding):
    x, w, a, b, bits, frac = drawn
    halves = [
        convolved(a[..., 2 * g : 2 * g + 2], b[..., 3 * g : 3 * g + 3], 2, padding, 1)
        for g in range(2)
    ]
    expected = saturate(np.concatenate(halves, axis=-1), bits)
    check(_products.convolution(x, w, 2, padding, 1), expected, bits, frac)


@quick
@given(
    operands((2, 5, 4, 2), (3, 2, 2, 3), per_axis=False),
    st.sampled_from(PADDINGS),
    st.sampled_from([(1, 1), (2, 2)]),
    st.booleans(),
)
def test_depthwise_convolutions_take_inputs_with_scales_per_channel(
    drawn, padding, strides, per_axis
):
    x, w, a, b, bits, frac = drawn
    if per_axis:
        more = np.array([0, 5], np.int32)
        x = FixedPoint(x.values, bits, x.frac_bits + more)
        frac = frac + np.repeat(more, 3)
    expected = saturate(depthwise_convolved(a, b, strides, padding), bits)
    found = tf_keras.backend.depthwise_conv2d(x, w, strides, padding.lower())
    check(found, expected, bits, frac)
    found = _products.depthwise_convolution(x, w, strides, padding, (1, 1))
    check(found, expected, bits, frac)
    scales = np.array([[0.5], [3.0]], np.float32)
    found = _products.depthwise_convolution(x, QFloat(w, scales), strides, padding)
    check(found.fp, expected, bits, frac)
    np.testing.assert_array_equal(found.scales, np.repeat(scales, 3))


@quick
@given(
    operands((2, 3, 4, 2), (3, 2, 3, 2), per_axis=False),
    st.sampled_from(PADDINGS),
    st.sampled_from([(1, 1), (2, 2)]),
)
def test_transposed_convolutions(drawn, padding, strides):
    x, w, a, b, bits, frac = drawn
    expected = saturate(transpose_convolved(a, b, strides, padding), bits)
    shape = expected.shape
    found = tf_keras.backend.conv2d_transpose(x, w, shape, strides, padding.lower())
    check(found, expected, bits, frac)
    qf = QFloat(w, [0.5, 3.0, 1.0])
    found = _products.convolution_transpose(x, qf, shape, strides, padding)
    check(found.fp, expected, bits, frac)
    np.testing.assert_array_equal(found.scales, [0.5, 3.0, 1.0])


def test_a_same_sign_dot_product_of_4608_terms_is_exact():
    # 512 channels of 3x3: in float32 the reference gets every one of these outputs wrong.
    rng = np.random.default_rng(0)
    x = rng.integers(64, 256, (2, 5, 5, 512))
    w = rng.integers(64, 128, (3, 3, 512, 8))
    expected = convolved(x, w, 1, "VALID", 1)
    assert np.any(expected.astype(np.float32) != expected)
    assert np.min(expected) > 2**24
    left, right = FixedPoint(x, 27, 4), FixedPoint(w, 7, 0)
    check(tf.nn.convolution(left, right), objects(expected), 27, 4)
    matrix = w.reshape(-1, 8)
    rows = rng.integers(64, 256, (16, 4608))
    found = tf.matmul(FixedPoint(rows, 31, 0), FixedPoint(matrix, 7, 0))
    check(found, objects(rows @ matrix), 31, 0)
    found = tf.matmul(FixedPoint(rows, 8, 0), FixedPoint(matrix, 7, 0))
    check(found, objects(np.full((16, 8), 255)), 8, 0)
    found = tf.matmul(FixedPoint(-rows, 8, 0).promote(27), FixedPoint(matrix, 7, 0))
    check(found, objects(-rows @ matrix), 27, 0)


@pytest.mark.parametrize(("bits", "other"), [(32, 32), (31, 31), (32, 16), (27, 7)])
def test_large_terms_that_cancel_leave_the_exact_rest(bits, other):
    # 2x.y - x.2y + r: every partial sum is far above 2^53, the result is r.
    rng = np.random.default_rng(bits + other)
    a = objects(rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (4, 1152)))
    b = objects(rng.integers(1 - 2 ** (other - 1), 2 ** (other - 1), (1152, 3)))
    rest = objects(rng.integers(-99, 99, (4, 2)))
    tail = objects(rng.integers(-99, 99, (2, 3)))
    order = rng.permutation(2306)
    left = np.concatenate([2 * a, a, rest], axis=1)[:, order]
    right = np.concatenate([b, -2 * b, tail])[order]
    right, left = saturate(right, other), saturate(left, bits)
    expected = saturate(left @ right, bits)
    assert np.array_equal(expected, rest @ tail)
    x = FixedPoint(left.astype(np.int64), bits, 0)
    y = FixedPoint(right.astype(np.int64), other, 0)
    check(tf.matmul(x, y), expected, bits, 0)
    image = FixedPoint(left.astype(np.int64).reshape(4, 1, 1, -1), bits, 0)
    kernel = FixedPoint(right.astype(np.int64).reshape(1, 1, -1, 3), other, 0)
    check(tf.nn.convolution(image, kernel), expected.reshape(4, 1, 1, 3), bits, 0)


@pytest.mark.parametrize("rank", [1, 3])
def test_convolutions_of_one_and_three_dimensions(rank):
    rng = np.random.default_rng(rank)
    shape = (2, *(5,) * rank, 3)
    x = rng.integers(-(2**27), 2**27, shape)
    w = rng.integers(-128, 128, (*(2,) * rank, 3, 4))
    expected = convolved(objects(x), objects(w), 2, "SAME", 1)
    found = tf.nn.convolution(
        FixedPoint(x, 40, 0), FixedPoint(w, 7, 0), strides=2, padding="SAME"
    )
    check(found, expected, 40, 0)


@pytest.mark.parametrize("rank", [2, 3])
def test_an_image_of_one_channel_has_all_its_rows(rank):
    """Strides that differ, and one column of outputs: sums of windows by hand."""
    rng = np.random.default_rng(0)
    for window, strides, size in itertools.product(
        [(1, 2), (2, 2), (1, 3)], [(1, 2), (1, 3), (2, 1), (2, 2)], [(3, 3), (4, 5)]
    ):
        left = rng.integers(-4, 5, (2, *size, 1))
        right = rng.integers(-4, 5, (*window, 1, 2))
        rows, columns = (
            range(0, n - k + 1, s)
            for n, k, s in zip(size, window, strides, strict=True)
        )
        by_hand = np.array(
            [
                [
                    np.tensordot(
                        left[:, i : i + window[0], j : j + window[1]], right, 3
                    )
                    for j in columns
                ]
                for i in rows
            ]
        ).transpose(2, 0, 1, 3)
        if rank == 3:
            left, right, by_hand = left[:, None], right[None], by_hand[:, None]
        x, w = FixedPoint(left, 7, 0), FixedPoint(right, 7, 0)
        found = _products.convolution(x, w, (1,) * (rank - 2) + strides)
        np.testing.assert_array_equal(found.values, by_hand, f"{window} {strides}")
