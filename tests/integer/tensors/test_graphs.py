"""Quantized tensors in functions, models and gradients."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.tensors.exact import check, integers_of, objects

RNG = np.random.default_rng(6)


def chain(x):
    """Operations of every kind, from floats to a FixedPoint."""
    fp = FixedPoint.quantize(x, 8, np.array([3, 4, 5], np.int32))
    wide, _ = fp.expand(27)
    weights = QFloat.quantize(tf.constant(KERNEL), 7, 0.01)
    y = tf.nn.convolution(wide, weights, padding="SAME")
    scaled, _ = y.promote(40).to_fixed_point()
    y = tf.maximum(scaled.rescale(4, 8), FixedPoint(0, 8, 4))
    y = tf.nn.max_pool(y, 2, 2, "VALID")
    y = tf.reshape(y, (tf.shape(y)[0], 12))
    total = tf.reduce_sum(y.promote(16), axis=-1, keepdims=True)
    return (
        tf.matmul(y.promote(20), y, transpose_b=True) - total * FixedPoint(3, 8, 4)
    ) / 3


KERNEL = RNG.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)
IMAGES = RNG.normal(0, 4, (3, 4, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("batch", [None, 3])
def test_a_function_computes_the_integers_of_eager_mode(batch):
    eager = chain(tf.constant(IMAGES))
    specification = tf.TensorSpec((batch, 4, 4, 3))
    compiled = tf.function(chain, input_signature=[specification])(IMAGES)
    assert np.max(np.abs(integers_of(eager))) > 1000
    check(compiled, integers_of(eager), eager.value_bits, eager.frac_bits)


def test_a_function_takes_and_returns_quantized_tensors_without_retracing():
    traces = []

    @tf.function(reduce_retracing=True)
    def double(x):
        traces.append(x)
        return x + x

    for value in (1, 2, 100):
        x = FixedPoint([value, -value], 7, 3)
        check(double(x), objects(np.clip([2 * value, -2 * value], -128, 127)), 7, 3)
    q = QFloat(FixedPoint([5], 7, 0), 0.5)
    check(double(q).fp, [10], 7, 0)
    assert len(traces) == 2


def test_xla_computes_the_same_integers():
    compiled = tf.function(chain, jit_compile=True)(tf.constant(IMAGES))
    eager = chain(tf.constant(IMAGES))
    check(compiled, integers_of(eager), eager.value_bits, eager.frac_bits)


class Quantize(tf_keras.layers.Layer):
    """Floats to a FixedPoint per channel."""

    def call(self, inputs):
        return FixedPoint.quantize(inputs, 8, tf.constant([3, 4, 5]))


class Scale(tf_keras.layers.Layer):
    """Times an integer, per-tensor."""

    def call(self, inputs):
        expanded, _ = inputs.expand(27)
        return expanded * 3


class Combine(tf_keras.layers.Layer):
    """The sum of two quantized tensors."""

    def call(self, inputs):
        return inputs[0] + inputs[1]


class ToFloat(tf_keras.layers.Layer):
    """Back to floats."""

    def call(self, inputs):
        return inputs.to_float()


def test_layers_of_a_functional_model_exchange_quantized_tensors():
    inputs = tf_keras.Input((4, 4, 3))
    quantized = Quantize()(inputs)
    assert tuple(quantized.shape) == (None, 4, 4, 3)
    outputs = ToFloat()(Combine()([Scale()(quantized), Scale()(quantized)]))
    model = tf_keras.Model(inputs, outputs)
    scaled = IMAGES * np.float32([8, 16, 32])
    expected = np.clip(np.round(scaled), -256, 255) * 6 / [8, 16, 32]
    for found in (model(IMAGES), model.predict_on_batch(IMAGES)):
        np.testing.assert_array_equal(found, expected.astype(np.float32))
    inner = tf_keras.Model(inputs, quantized)
    check(inner(IMAGES), integers_of(Quantize()(IMAGES)), 8, [3, 4, 5])


def test_a_quantized_tensor_may_be_the_input_of_a_model():
    x = FixedPoint([[1, 2, 3]], 7, 2)
    spec = (
        FixedPoint.Spec.from_value(x)
        if hasattr(FixedPoint.Spec, "from_value")
        else None
    )
    spec = spec or tf.type_spec_from_value(x)
    inputs = tf_keras.Input(type_spec=spec)
    model = tf_keras.Model(inputs, Scale()(inputs))
    check(model(x), [[3, 6, 9]], 27, 2)


def gradient(function, *values):
    """Of the sum of what `function` gives, by each value."""
    variables = [tf.Variable(v) for v in values]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(function(*variables))
    return tape.gradient(total, variables)


X = np.array([0.3, -0.7, 1.26, 100.0, -100.0, 0.0], np.float32)

THROUGH = {
    "quantize": (lambda x: FixedPoint.quantize(x, 5, 3), 1),
    "inferred": (lambda x: FixedPoint.quantize(x, 5), 1),
    "rescaled": (lambda x: FixedPoint.quantize(x, 8, 4).rescale(1, 3), 1),
    "upscaled": (lambda x: FixedPoint.quantize(x, 8, 4).upscale(9), 1),
    "expanded": (lambda x: FixedPoint.quantize(x, 8, 4).expand(30)[0], 1),
    "floored": (lambda x: FixedPoint.quantize(x, 8, 4).floor()[0], 1),
    "shifted": (lambda x: FixedPoint.quantize(x, 8, 4).shift(-2), 0.25),
    "left": (lambda x: FixedPoint.quantize(x, 8, 4) << 2, 4),
    "right": (lambda x: FixedPoint.quantize(x, 8, 4) >> 2, 0.25),
    "sum": (lambda x: FixedPoint.quantize(x, 5, 3) + FixedPoint.quantize(x, 9, 3), 2),
    "difference": (lambda x: 5 - FixedPoint.quantize(x, 5, 3), -1),
    "product": (lambda x: FixedPoint.quantize(x, 8, 3) * 3, 3),
    "quotient": (lambda x: FixedPoint.quantize(x, 8, 3) / 4, 0.25),
    "scaled": (lambda x: QFloat.quantize(x, 7, 0.01), 1),
    "reshaped": (lambda x: tf.reshape(FixedPoint.quantize(x, 5, 3), (2, 3)), 1),
    "concatenated": (lambda x: tf.concat([FixedPoint.quantize(x, 5, 3)] * 2, 0), 2),
}


@pytest.mark.parametrize("name", THROUGH)
def test_gradients_pass_rounding_and_saturation(name):
    function, slope = THROUGH[name]
    (found,) = gradient(lambda x: function(x).to_float(), X)
    np.testing.assert_allclose(found, np.full(X.shape, slope), rtol=1e-6)


@pytest.mark.parametrize("bits", [5, 30])
def test_gradients_of_products_are_those_of_the_float_operation(bits):
    # With values that quantize to themselves, the float model has the same gradients.
    x = RNG.integers(-8, 8, (2, 5, 5, 3)).astype(np.float32) / 4
    w = RNG.integers(-8, 8, (3, 3, 3, 2)).astype(np.float32) / 8
    weights = tf.constant(RNG.normal(size=(2, 5, 5, 2)), tf.float32)

    def quantized(x, w):
        x, w = FixedPoint.quantize(x, bits, 2), FixedPoint.quantize(w, bits, 3)
        wide = x.promote(max(bits, 16))
        return tf.nn.convolution(wide, w, padding="SAME").to_float() * weights

    def real(x, w):
        return tf.nn.convolution(x, w, padding="SAME") * weights

    for found, expected in zip(
        gradient(quantized, x, w), gradient(real, x, w), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def quantized(x, w):
        x = QFloat(FixedPoint.quantize(x, bits, 2).promote(max(bits, 16)), 0.5)
        w = QFloat.quantize(w, bits, 0.125)
        return tf.matmul(x, w).to_float()

    matrices = x[0, :, :, 0], w[0, :, :, 0]
    found = gradient(quantized, matrices[0], np.ones((5, 2), np.float32))
    expected = gradient(
        lambda x, w: tf.matmul(x, w) * 0.5, matrices[0], np.ones((5, 2), np.float32)
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
