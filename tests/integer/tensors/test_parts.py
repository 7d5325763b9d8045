"""Products of constants in two float32 parts, against Python's integers."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from larqlite.integer.tensors import FixedPoint, _products
from larqlite.integer.tensors._constants import as_tensor, folded, frozen
from larqlite.integer.tensors._parts import in_parts

CHANNELS, OUTPUTS = 40, 5


def product(constants):
    """A function of values, with its variables: of weights, and of fractional bits."""
    variables = (
        tf.Variable(np.zeros((CHANNELS, OUTPUTS)), dtype=tf.float32),
        tf.Variable(np.zeros(CHANNELS), dtype=tf.int32),
    )

    @tf.function(autograph=False)
    def run(values):
        with frozen() if constants else contextlib.nullcontext():
            w, bits = map(as_tensor, variables)
            with folded(w):
                weights = FixedPoint(w, 7, 0, limit=127)
            left = FixedPoint(values, 27, bits, limit=128)
            return _products.matmul(left, weights).values

    return run, variables


follows_variables = functools.cache(lambda: product(constants=False))  # traced once


def product_of(x, frac_bits, w, constants):
    run, (weights, bits) = product(True) if constants else follows_variables()
    weights.assign(w)
    bits.assign(frac_bits)
    return run(tf.constant(x, tf.float32)).numpy()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-5, 7), min_size=CHANNELS, max_size=CHANNELS),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_a_product_is_that_of_integers_whatever_the_parts(frac_bits, seed, constants):
    rng = np.random.default_rng(seed)
    x = rng.choice([-128, 127, 3], (2, CHANNELS))
    w = rng.integers(-127, 128, (CHANNELS, OUTPUTS))
    shifts = [max(frac_bits) - bits for bits in frac_bits]
    expected = [
        [
            sum(int(row[c]) * int(w[c, o]) << shifts[c] for c in range(CHANNELS))
            for o in range(OUTPUTS)
        ]
        for row in x
    ]
    aligned = np.clip(x.astype(object) * [2**s for s in shifts], -(2**27), 2**27 - 1)
    if np.all(aligned == x.astype(object) * [2**s for s in shifts]):
        expected = np.clip(np.array(expected, object), -(2**27), 2**27 - 1)
        found = product_of(x, frac_bits, w, constants)
        assert found.astype(int).tolist() == expected.astype(int).tolist()


@pytest.mark.parametrize("few", [1, 3])
def test_channels_of_another_scale_become_a_small_product(few):
    frac_bits = np.full(CHANNELS, -4)
    frac_bits[:few] = 7
    left = FixedPoint(np.zeros((1, CHANNELS)), 27, frac_bits, limit=128)
    shift = tf.constant(7 - frac_bits, tf.int32)
    weights = np.full((CHANNELS, OUTPUTS), 127.0) * 2.0 ** (7 - frac_bits)[:, None]
    shapes = []

    def product(x, w):
        shapes.append((x.shape[-1], w.shape[0]))
        return tf.matmul(x, w)

    in_parts(left, weights, (0,), shift, 0)(product)
    assert shapes == [(CHANNELS, CHANNELS), (few, few)]
