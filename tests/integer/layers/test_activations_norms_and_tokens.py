"""ReLU, signs, normalizations, tokens and moves of integers against NumPy's int64."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite import quantizers
from larqlite.errors import LarqliteError, UnsupportedLayerError
from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.layers import numpy_layers

rng = np.random.default_rng(17)

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 10**6)


def random_tensor(draws, shape, value_bits, per_axis, scaled):
    """Integers, fractional bits, scales, and the quantized tensor made of them."""
    x = draws.integers(-(2**value_bits), 2**value_bits, size=shape)
    size = (shape[-1],) if per_axis else ()
    frac = np.asarray(draws.integers(0, value_bits + 1, size=size))
    scales = np.asarray(draws.uniform(0.01, 2, size=size), np.float32)
    fp = FixedPoint(x, value_bits, frac)
    return x, frac, scales, QFloat(fp, scales) if scaled else fp


@settings(deadline=None, max_examples=60)
@given(
    shape=shapes,
    value_bits=st.integers(3, 27),
    per_axis=st.booleans(),
    scaled=st.booleans(),
    max_value=st.sampled_from([None, 0.3, 1.0, 6, 1000.0]),
    seed=seeds,
)
def test_a_relu_limits_integers_to_an_integer(
    shape, value_bits, per_axis, scaled, max_value, seed
):
    draws = np.random.default_rng(seed)
    x, frac, scales, inputs = random_tensor(draws, shape, value_bits, per_axis, scaled)
    y = layers.QuantizedReLU(max_value)(inputs)
    assert type(y) is type(inputs)
    expected = np.maximum(x, 0)
    if max_value is not None:
        ratio = np.float32(max_value) / (scales if scaled else np.float32(1))
        mantissa = np.minimum(numpy_layers.max_frac_bits(8, ratio), frac)
        codes = np.rint(np.ldexp(ratio.astype(np.float64), mantissa))
        codes = np.minimum(codes, 255).astype(np.int64) << (frac - mantissa)
        expected = np.minimum(expected, np.minimum(codes, 2**32 - 1))
    np.testing.assert_array_equal(getattr(y, "fp", y).values, expected)
    assert getattr(y, "fp", y).value_bits == 32


def in_numpy(name):
    """A function of one number, by Python's own mathematics."""
    e, erf = math.exp, math.erf
    return {
        "swish": lambda x: x / (1 + e(-x)),
        "sigmoid": lambda x: 1 / (1 + e(-x)),
        "tanh": math.tanh,
        "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
        "elu": lambda x: x if x > 0 else math.expm1(x),
        "selu": lambda x: (
            1.0507009873554805 * max(x, 0) + 1.7580993408473766 * math.expm1(min(x, 0))
        ),
        "softplus": lambda x: max(x, 0) + math.log1p(e(-abs(x))),
        "softsign": lambda x: x / (1 + abs(x)),
        "mish": lambda x: x * math.tanh(max(x, 0) + math.log1p(e(-abs(x)))),
        "hard_sigmoid": lambda x: min(max(Fraction(x) / 5 + Fraction(1, 2), 0), 1),
        "hard_sigmoid6": lambda x: min(max(Fraction(x) + 3, 0), 6) / Fraction(6),
        "hard_swish": lambda x: (
            Fraction(x) * min(max(Fraction(x) + 3, 0), 6) / Fraction(6)
        ),
    }[name]


TABLES = (
    *("swish", "sigmoid", "tanh", "gelu", "elu", "selu", "softplus", "softsign"),
    *("mish", "hard_sigmoid", "hard_sigmoid6", "hard_swish"),
)


@pytest.mark.parametrize("name", TABLES)
def test_an_activation_gives_the_nearest_entry_of_its_table(name):
    function = in_numpy(name)
    codes = np.arange(-256, 256)[:, None] * np.ones(5, np.int64)
    frac = np.array([-1, 2, 5, 7, 9])
    y = layers.QuantizedActivationFunction(name)(FixedPoint(codes, 8, frac))
    for column, places in enumerate(y.frac_bits.numpy().tolist()):
        numbers = [math.ldexp(int(c), -int(frac[column])) for c in codes[:, 0]]
        # `Fraction`s are exact: a half goes up.
        exact = [Fraction(function(x)) * 2**places for x in numbers]
        wanted = [math.floor(value + Fraction(1, 2)) for value in exact]
        found = y.values.numpy()[:, column]
        # A one is cut by one in 2^15.
        np.testing.assert_array_equal(found, np.clip(wanted, -(2**15), 2**15 - 1))
        assert np.max(np.abs(found)) > 2**13


def test_an_activation_of_per_tensor_and_plain_integers_and_with_an_output_quantizer():
    x = np.array([[-24, 0, 96]], np.int32)
    plain = layers.QuantizedActivationFunction("hard_swish")(x)
    assert plain.to_float().numpy().tolist() == [[0, 0, 96]]
    layer = layers.QuantizedActivationFunction(
        "hard_swish", quant_config={"output_quantizer": {"bitwidth": 8}}
    )
    layer.build(x.shape)
    layer.out_quantizer.build(x.shape)
    layer.out_quantizer.calibrate(6.0)
    y = layer(FixedPoint(x, 7, 4))
    assert (y.values.numpy().tolist(), int(y.frac_bits)) == ([[-6, 0, 96]], 4)
    with pytest.raises(LarqliteError, match=r"(?s)16 value bits.*output_quantizer"):
        layer(FixedPoint(x, 16, 4))


@pytest.mark.parametrize("activation", ["exponential", "softmax", "relu", tf.exp])
def test_an_activation_without_a_table_is_refused_by_name(activation):
    name = getattr(activation, "__name__", activation)
    with pytest.raises(UnsupportedLayerError, match=f'(?s)"{name}".*Fix: '):
        layers.QuantizedActivationFunction(activation)


def test_a_relu_is_near_the_float_one():
    x = rng.integers(-(2**12), 2**12, size=(3, 50))
    y = layers.QuantizedReLU(6)(FixedPoint(x, 15, 9))
    np.testing.assert_array_equal(y.to_float(), tf_keras.layers.ReLU(6.0)(x / 2**9))


def test_a_relu_with_a_slope_is_refused_by_name():
    for name in ("negative_slope", "threshold"):
        with pytest.raises(RuntimeError, match=f'"here": {name}=0.5') as caught:
            layers.QuantizedReLU(**{name: 0.5}, name="here")
        assert isinstance(caught.value, LarqliteError)
        assert name in layers.QuantizedReLU.refuses(tf_keras.layers.ReLU(**{name: 0.5}))
    assert layers.QuantizedReLU.refuses(tf_keras.layers.ReLU()) is None


signs = {
    layers.QuantizedSign: quantizers.SteSign,
    layers.QuantizedApproxSign: quantizers.ApproxSign,
    layers.QuantizedSwishSign: quantizers.SwishSign,
}


@pytest.mark.parametrize("cls", [*signs, layers.QuantizedTernary])
@pytest.mark.parametrize("scaled", [False, True])
def test_signs_and_ternary_codes_are_those_of_the_float_quantizers(cls, scaled):
    twin = signs.get(cls, quantizers.SteTern)()
    x, frac, scales = np.arange(-60, 61)[:, None] * [1, 1], [5, 8], [1.0, 0.5]
    unit = 2.0 ** -np.array(frac) * (scales if scaled else 1)
    floats = tf.Variable(x * unit, dtype=tf.float32)
    weights = rng.normal(size=x.shape).astype(np.float32)
    fp = FixedPoint(x, 7, frac)
    y = cls()(QFloat(fp, scales) if scaled else fp)
    np.testing.assert_array_equal(y.values, twin(floats))
    assert (y.value_bits, int(y.frac_bits), y.limit) == (1, 0, 1)
    gradients = []
    for ours in (False, True):
        with tf.GradientTape() as tape:
            if ours:
                fp = FixedPoint.quantize(floats / (scales if scaled else 1.0), 7, frac)
                result = cls()(QFloat(fp, scales) if scaled else fp).to_float()
            else:
                result = twin(floats)
            loss = tf.reduce_sum(result * weights)
        gradients.append(tape.gradient(loss, floats))
    np.testing.assert_allclose(*gradients, rtol=1e-5)
    assert np.any(gradients[0])


def test_a_threshold_on_the_edge_belongs_to_the_outer_codes():
    layer = layers.QuantizedTernary(threshold_value=0.25)
    y = layer(FixedPoint([-5, -4, -3, 0, 3, 4, 5], 7, 4))
    np.testing.assert_array_equal(y.values, [-1, -1, 0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="ternary_weight_networks"):
        layers.QuantizedTernary(ternary_weight_networks=True)


@settings(deadline=None, max_examples=30)
@given(shape=shapes, per_axis=st.booleans(), scaled=st.booleans(), seed=seeds)
def test_a_batch_normalization_is_a_product_and_a_sum(shape, per_axis, scaled, seed):
    draws = np.random.default_rng(seed)
    x, frac, scales, inputs = random_tensor(draws, shape, 7, per_axis, scaled)
    layer = layers.QuantizedBatchNormalization()
    layer.build(shape)
    channels = shape[-1]
    gamma, beta, mean = draws.normal(size=(3, channels)).astype(np.float32)
    variance = draws.uniform(0.5, 2, size=channels).astype(np.float32)
    layer.set_weights([gamma, beta, mean, variance])
    y = layer(inputs)
    a = (tf.math.rsqrt(variance + np.float32(1e-3)) * gamma).numpy()
    codes, own = numpy_layers.weights(a, 8)
    aligned = x if scaled else x << (np.max(frac) - frac)
    expected = numpy_layers.saturated(aligned * codes, 31)
    expected_frac = frac if scaled else np.max(frac)
    b = -a * mean + beta
    expected = expected + numpy_layers.bias(
        b, y.scales.numpy(), y.fp.frac_bits.numpy(), value_bits=31
    )
    np.testing.assert_array_equal(y.fp.frac_bits, expected_frac)
    np.testing.assert_array_equal(y.fp.values, numpy_layers.saturated(expected, 31))
    np.testing.assert_allclose(y.scales, own.ravel()[0] * (scales if scaled else 1))


def test_a_batch_normalization_is_near_the_float_one_and_trains():
    x = FixedPoint(rng.integers(-128, 128, size=(4, 5, 5, 3)), 7, 5)
    twin = tf_keras.layers.BatchNormalization()
    layer = layers.QuantizedBatchNormalization()
    weights = [rng.uniform(0.5, 2, size=3) for _ in range(4)]
    for one in (twin, layer):
        one.build(x.shape)
        one.set_weights(weights)
    expected = twin(x.to_float(), training=False).numpy()
    error = layer(x).to_float() - expected
    assert np.abs(error).max() < 0.02 * np.abs(expected).max()
    np.testing.assert_array_equal(layer(x, training=True).fp.values, layer(x).fp.values)
    np.testing.assert_array_equal(layer.moving_mean, weights[2].astype(np.float32))
    bare = layers.QuantizedBatchNormalization(center=False, scale=False, epsilon=0.0)
    np.testing.assert_array_equal(bare(x).to_float(), x.to_float())
    with pytest.raises(ValueError, match="axis=1 of an input"):
        layers.QuantizedBatchNormalization(axis=1).build((None, 4, 4, 3))


@settings(deadline=None, max_examples=40)
@given(shape=shapes, per_axis=st.booleans(), center=st.booleans(), seed=seeds)
def test_a_layer_normalization_divides_once_and_multiplies(
    shape, per_axis, center, seed
):
    draws = np.random.default_rng(seed)
    x, frac, _, inputs = random_tensor(draws, shape, 7, per_axis, False)
    x[0] = 0
    inputs = FixedPoint(x, 7, frac)
    channels = shape[-1]
    layer = layers.QuantizedLayerNormalization(center=center)
    layer.build(shape)
    layer.gamma.assign(draws.normal(size=channels))
    codes, scale = numpy_layers.weights(layer.gamma.numpy(), 8)
    shift = 31 - 8 - (127 * channels).bit_length()
    aligned = x << (np.max(frac) - frac)
    sums = np.abs(aligned).sum(-1, keepdims=True)
    dividend = codes * channels << shift
    factors = np.abs(dividend) // np.maximum(sums, 1) * np.sign(dividend)
    expected = aligned * factors
    y = layer(inputs)
    if center:
        layer.beta.assign(draws.normal(size=channels))
        y = layer(inputs)
        expected = expected + numpy_layers.bias(
            layer.beta.numpy(), y.scales.numpy(), shift, value_bits=31
        )
    np.testing.assert_array_equal(y.fp.values, expected)
    np.testing.assert_array_equal(y.fp.frac_bits, shift)
    np.testing.assert_allclose(y.scales, scale.ravel()[0])


@pytest.mark.parametrize("channels", [4, 192, 768])
def test_a_layer_normalization_is_near_the_float_one(channels):
    x = rng.integers(-128, 128, size=(4, 9, channels))
    twin, layer = layers.LayerMadNormalization(), layers.QuantizedLayerNormalization()
    weights = [rng.uniform(0.5, 1, size=channels), rng.normal(size=channels)]
    for one in (twin, layer):
        one.build(x.shape)
        one.set_weights(weights)
    expected = twin(x / 16).numpy()
    error = layer(FixedPoint(x, 7, 4)).to_float() - expected
    assert np.abs(error).max() < 0.015 * np.abs(expected).max()
    with pytest.raises(TypeError, match="got a QFloat"):
        layer(QFloat(FixedPoint(x, 7, 4), 1.0))


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_tokens_are_aligned_put_first_added_and_taken_out(per_axis, scaled):
    x, frac, scales, inputs = random_tensor(rng, (2, 5, 6), 20, per_axis, scaled)
    scales = scales if scaled else np.float32(1)
    layer = layers.QuantizedClassToken(initializer="random_normal")
    y = layer(inputs)
    cls = numpy_layers.bias(layer.cls.numpy(), scales, frac, value_bits=20)
    expected = np.concatenate([np.broadcast_to(cls, (2, 1, 6)), x], 1)
    np.testing.assert_array_equal(getattr(y, "fp", y).values, expected)
    floats = layers.ClassToken(initializer=tf.constant_initializer(layer.cls.numpy()))
    error = y.to_float() - floats(inputs.to_float())
    step = np.max(np.maximum(2.0**-7, 2.0**-frac) * scales)
    assert np.abs(error).max() <= 0.51 * step

    layer = layers.QuantizedAddPositionEmbs(initializer="random_normal")
    y = layer(inputs)
    most = frac if scaled else np.max(frac)
    pe = numpy_layers.bias(layer.pe.numpy(), scales, most, value_bits=31)
    np.testing.assert_array_equal(
        getattr(y, "fp", y).values,
        numpy_layers.saturated(numpy_layers.saturated(x << (most - frac), 31) + pe, 31),
    )

    layer = layers.QuantizedExtractToken(token=-1)
    if scaled:
        with pytest.raises(TypeError, match="got a QFloat"):
            layer(inputs)
    else:
        np.testing.assert_array_equal(layer(inputs).values, x[:, -1])
        np.testing.assert_array_equal(layer(inputs).frac_bits, frac)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=4).map(tuple),
    per_axis=st.booleans(),
    scaled=st.booleans(),
    seed=seeds,
)
def test_moved_values_stand_for_the_same_numbers(shape, per_axis, scaled, seed):
    draws = np.random.default_rng(seed)
    *_, inputs = random_tensor(draws, shape, 7, per_axis, scaled)
    floats = inputs.to_float().numpy()
    flat = layers.QuantizedFlatten()(inputs)
    assert type(flat) is type(inputs)
    np.testing.assert_array_equal(flat.to_float(), floats.reshape(shape[0], -1))
    back = layers.QuantizedReshape(shape[1:])
    if not per_axis or shape[-1] == 1 or np.prod(shape[1:]) == shape[-1]:
        np.testing.assert_array_equal(back(flat).to_float(), floats)
    rows = layers.QuantizedReshape((-1, shape[-1]))(inputs)
    expected = floats.reshape(shape[0], -1, shape[-1])
    np.testing.assert_array_equal(rows.to_float(), expected)
    dims = (*range(2, len(shape) - 1), 1, len(shape) - 1)
    dims = dims if len(shape) > 3 else (1, 2)
    turned = layers.QuantizedPermute(dims)(inputs)
    np.testing.assert_array_equal(turned.to_float(), floats.transpose(0, *dims))
    dropped = layers.QuantizedDropout(0.9)(inputs, training=True)
    np.testing.assert_array_equal(dropped.to_float(), floats)
    if len(shape) == 4:
        size = tuple(draws.integers(1, 8, size=2).tolist())
        up = layers.QuantizedUpSampling2D(size)(inputs)
        expected = floats.repeat(size[0], 1).repeat(size[1], 2)
        np.testing.assert_array_equal(up.to_float(), expected)


def test_channels_that_would_be_torn_apart_are_refused_by_name():
    x = FixedPoint(np.ones((1, 2, 6)), 7, [0, 1, 2, 3, 4, 5])
    for layer in (
        layers.QuantizedReshape((4, 3), name="here"),
        layers.QuantizedPermute((2, 1), name="here"),
    ):
        with pytest.raises(ValueError, match=r'"here".*\n.*Fix: .*per-tensor'):
            layer(x)
    with pytest.raises(ValueError, match='"here": interpolation="bilinear"'):
        layers.QuantizedUpSampling2D(interpolation="bilinear", name="here")


def test_a_rescaling_wraps_integers_and_refuses_the_rest():
    x = np.array([[0, 3, 255]], np.uint8)
    y = layers.QuantizedRescaling(1 / 255)(x)
    np.testing.assert_array_equal(y.fp.values, x)
    assert y.fp.value_bits == 8
    np.testing.assert_array_equal(y.to_float(), tf_keras.layers.Rescaling(1 / 255)(x))
    for wrong in ({"scale": [1.0, 2.0]}, {"scale": -1.0}, {"scale": 1.0, "offset": 2}):
        with pytest.raises(ValueError, match=r'"here"(.|\n)*align_rescaling'):
            layers.QuantizedRescaling(**wrong, name="here")
    with pytest.raises(TypeError, match="got a QFloat"):
        layers.QuantizedRescaling(1.0)(y)


@pytest.mark.parametrize("scales", [None, [0.01, 0.02]], ids=["FixedPoint", "QFloat"])
def test_weights_that_join_an_input_have_the_room_of_the_buffer(scales):
    fp = FixedPoint([[[100, -100]]], 7, 0 if scales else [6, 5])
    inputs = QFloat(fp, scales) if scales else fp
    for layer, name in (
        (layers.QuantizedClassToken(), "cls"),
        (layers.QuantizedAddPositionEmbs(), "pe"),
    ):
        layer(inputs)
        # Far beyond what 7 bits of the input hold.
        getattr(layer, name).assign([[[6.0, -9.0]]])
        wanted = np.array([6.0, -9.0])
        if name == "pe":
            wanted = wanted + inputs.to_float().numpy()[0, 0]
        found = layer(inputs).to_float().numpy()[0, 0]
        np.testing.assert_allclose(found, wanted, atol=0.05)
    layer = layers.QuantizedConv2D(1, 3, padding_value=9.0, use_bias=False)
    image = as_image(inputs)
    layer(image)
    layer.kernel.assign(np.ones((3, 3, 2, 1)))
    total = layer(image).to_float().numpy()
    np.testing.assert_allclose(
        total.ravel(), np.sum(image.to_float()) + 16 * 9.0, rtol=0.02
    )


def as_image(x):
    """A row of tokens as an image of one pixel, with one scale."""
    fp = getattr(x, "fp", x)
    image = FixedPoint(fp.values[:, :, np.newaxis], 7, fp.frac_bits)
    return QFloat(image, x.scales[0]) if isinstance(x, QFloat) else image
