"""Operations that move values: NumPy moves the same integers."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given

from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.tensors.exact import SHAPE, check, fixed_points, objects, quick


@quick
@given(fixed_points(per_axis=False))
def test_a_per_tensor_tensor_may_be_moved_in_any_way(drawn):
    x, a, bits, frac = drawn
    q = QFloat(x, 0.3)
    pairs = [
        (lambda t: tf.reshape(t, (2, 6)), a.reshape(2, 6)),
        (lambda t: tf.reshape(t, [-1]), a.reshape(-1)),
        (tf.transpose, a.T),
        (lambda t: tf.transpose(t, [1, 0]), a.T),
        (lambda t: tf.expand_dims(t, -1), a[..., None]),
        (lambda t: tf.expand_dims(t, 0), a[None]),
        (lambda t: tf.broadcast_to(t, (2, *SHAPE)), np.broadcast_to(a, (2, *SHAPE))),
        (lambda t: tf.tile(t, [2, 3]), np.tile(a, (2, 3))),
        (tf.zeros_like, objects(np.zeros(SHAPE))),
        (lambda t: tf.gather(t, [2, 0], axis=-1), a[:, [2, 0]]),
        (lambda t: tf.gather(t, 1, axis=0), a[1]),
    ]
    for operation, expected in pairs:
        check(operation(x), expected, bits, frac)
        moved = operation(q)
        check(moved.fp, expected, bits, frac)
        assert float(moved.scales) == np.float32(0.3)
    for tensor in (x, q):
        np.testing.assert_array_equal(tf.shape(tensor), SHAPE)


@quick
@given(fixed_points(per_axis=True))
def test_a_per_axis_tensor_keeps_its_channels(drawn):
    x, a, bits, frac = drawn
    check(tf.reshape(x, (1, 3, 4)), a.reshape(1, 3, 4), bits, frac)
    cube = tf.expand_dims(x, 0)
    check(cube, a[None], bits, frac)
    check(tf.transpose(cube, [1, 0, 2]), a[None].transpose(1, 0, 2), bits, frac)
    check(tf.gather(x, [2, 0], axis=0), a[[2, 0]], bits, frac)
    check(tf.tile(x, [2, 1]), np.tile(a, (2, 1)), bits, frac)
    check(tf.broadcast_to(x, (2, *SHAPE)), np.broadcast_to(a, (2, *SHAPE)), bits, frac)
    # Chosen channels bring their fractional bits along.
    check(tf.gather(x, [2, 0], axis=-1), a[:, [2, 0]], bits, frac[[2, 0]])


@quick
@given(fixed_points(), fixed_points(per_axis=False))
def test_concatenation_of_channels_concatenates_fractional_bits(drawn, other):
    (x, a, bits, frac), (y, b, other_bits, other_frac) = drawn, other
    most = max(bits, other_bits)
    vectors = [np.broadcast_to(f, 4) for f in (frac, other_frac, frac)]
    expected = np.concatenate([a, b, a], axis=-1)
    check(tf.concat([x, y, x], axis=-1), expected, most, np.concatenate(vectors))
    check(tf.concat([x], axis=-1), a, bits, frac)
    check(tf.concat([x, x], axis=0), np.concatenate([a, a]), bits, frac)
    check(tf.stack([x, x], axis=0), np.stack([a, a]), bits, frac)
    y = FixedPoint(b.astype(np.int64), other_bits, frac)
    check(tf.stack([x, y], axis=1), np.stack([a, b], axis=1), most, frac)
    q = tf.concat([QFloat(x, 0.5), QFloat(x, [1.0, 2.0, 3.0, 4.0])], axis=-1)
    vectors = np.concatenate([vectors[0]] * 2)
    found = np.broadcast_to(q.fp.frac_bits, vectors.shape)
    np.testing.assert_array_equal(found, vectors)
    np.testing.assert_array_equal(q.scales, [0.5] * 4 + [1, 2, 3, 4])


@quick
@given(fixed_points(per_axis=False))
def test_padding_with_integers_of_the_same_scale(drawn):
    x, a, bits, frac = drawn
    around = [[1, 0], [2, 1]]
    fill = FixedPoint(-3, bits, frac)
    value = max(-3, -(2**bits))
    expected = np.pad(a, around, constant_values=value)
    check(tf.pad(x, around, constant_values=fill), objects(expected), bits, frac)
    q = tf.pad(QFloat(x, 0.3), around, constant_values=QFloat(fill, 0.3))
    check(q.fp, objects(expected), bits, frac)
    cube = tf.reshape(x, (1, 3, 4, 1))
    expected = objects(np.pad(a.reshape(1, 3, 4, 1), [[0, 0], [1, 1], [0, 2], [0, 0]]))
    check(tf.pad(cube, [[0, 0], [1, 1], [0, 2], [0, 0]]), expected, bits, frac)


@quick
@given(fixed_points())
def test_max_pooling_chooses_integers(drawn):
    x, a, bits, frac = drawn
    image, integers = tf.reshape(x, (1, 3, 1, 4)), a.reshape(1, 3, 1, 4)
    best = np.stack([integers[:, :2].max(axis=1), integers[:, 1:].max(axis=1)], axis=1)
    found = tf.nn.max_pool(image, (2, 1), 1, "VALID")
    check(found, best, bits, frac)
    check(tf.nn.max_pool(QFloat(image, 0.3), (2, 1), 1, "VALID").fp, best, bits, frac)
    # Outside of an image there is nothing, not a zero: all-negative images stay negative.
    low = FixedPoint(np.full((1, 3, 1, 4), -1), bits, frac)
    found = tf.nn.max_pool(low, (3, 1), 1, "SAME")
    check(found, objects(np.full((1, 3, 1, 4), -1)), bits, frac)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_stacking_makes_a_new_axis(axis):
    x = FixedPoint([[1, 2], [3, -4]], 7, 2)
    expected = np.stack([[[1, 2], [3, -4]]] * 2, axis=axis)
    check(tf.stack([x, x], axis=axis), objects(expected), 7, 2)
