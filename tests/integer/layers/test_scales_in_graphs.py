"""Scales of weights are the same numbers in a graph as in eager mode, and as in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8, 16])
def test_a_graph_divides_by_the_largest_code_as_numpy_does(bits):
    weights = np.random.default_rng(bits).normal(size=(16, 1000)).astype("float32")
    quantizer = lq.integer.layers.WeightQuantizer(bitwidth=bits)
    variable = tf.Variable(weights)

    @tf.function
    def scales():
        return quantizer(variable).scales

    largest = np.float32(2 ** (bits - 1) - 1)
    wanted = np.abs(weights).max(axis=0) / largest
    assert wanted.dtype == np.float32
    np.testing.assert_array_equal(scales(), wanted)
    np.testing.assert_array_equal(quantizer(variable).scales, wanted)
