"""What a ReLU gives out takes shorter ways to the same ranges and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from larqlite.qat.quantizers import MovingAverageQuantizer


class Owner(tf.Module):
    def add_weight(self, name, shape, dtype, initializer, **_):
        return tf.Variable(initializer(shape, dtype), name=name)


@pytest.mark.parametrize("largest", [3.0, 5.0, 9.0])
@pytest.mark.parametrize("shape", [(4, 30), (2, 32, 32, 4)])
@pytest.mark.parametrize("relu", [tf.nn.relu, tf.nn.relu6])
def test_range_value_and_gradient_are_those_of_the_plain_operation(
    relu, shape, largest
):
    rng = np.random.default_rng(0)
    x = rng.uniform(-largest, largest, shape).astype("float32")
    x.flat[:2] = (0.0, largest)
    upstream = tf.constant(rng.normal(size=shape).astype("float32"))
    quantizer = MovingAverageQuantizer(num_bits=4)
    variables = quantizer.build(shape, "output", Owner())
    variables["max_var"].assign(4.0)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            values = relu(x)
            tape.watch(values)
            quantized = quantizer(values, True, variables)
        return values, quantized, tape.gradient(quantized, values, upstream)

    values, quantized, gradient = step(tf.constant(x))
    seen = min(largest, 6.0) if relu is tf.nn.relu6 else largest
    stored = [float(variables[end]) for end in ("min_var", "max_var")]
    np.testing.assert_allclose(stored, [-5.994, 4 - 0.001 * (4 - seen)], rtol=1e-5)
    arguments = {"min": stored[0], "max": stored[1], "num_bits": 4}
    expected = tf.quantization.fake_quant_with_min_max_args(values, **arguments)
    np.testing.assert_allclose(quantized, expected, atol=1e-5)
    passed = tf.quantization.fake_quant_with_min_max_args_gradient(
        upstream, values, **arguments
    )
    np.testing.assert_array_equal(gradient, passed)
