"""Ranges by their cost, corrected biases and learned rounding of integer models."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.integer import models

layers = tf_keras.layers


def pixels(count, seed=0):
    return (
        np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 2)).astype("float32")
    )


def network(seed=0):
    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, name="a"),
            layers.ReLU(name="relu"),
            layers.Conv2D(3, 3, name="b"),
            layers.ReLU(6.0, name="relu6"),
            layers.Flatten(),
            layers.Dense(3, name="c"),
        ]
    )
    rng = np.random.default_rng(seed)
    for name, scale in (("a", 0.01), ("b", 0.3), ("c", 0.5)):
        layer = model.get_layer(name)
        layer.kernel.assign(scale * rng.standard_t(3, layer.kernel.shape))
        layer.bias.assign(scale * rng.normal(size=layer.bias.shape))
    return model


PARAMS = models.QuantizationParams(
    weight_bits=3, activation_bits=3, input_weight_bits=3
)


def error(model, quantized, x):
    return float(np.mean(np.square(quantized(x) - model(x))))


@pytest.fixture(scope="module")
def made():
    model, x = network(), pixels(64)
    quantized = models.quantize(model, qparams=PARAMS, samples=x, calibration="mse")
    return model, x, quantized, quantized.get_weights()


def test_kernels_are_clipped_where_the_squared_error_is_least(made):
    model, _, quantized, _ = made
    kernel = quantized.get_layer("a").kernel.numpy()
    original = model.get_layer("a").kernel.numpy()
    assert (abs(kernel).max((0, 1, 2)) < abs(original).max((0, 1, 2))).any()
    codes = quantized.get_layer("a").weight_quantizer(kernel).to_float().numpy()
    for channel in range(4):
        values, most = original[..., channel], abs(original[..., channel]).max()
        costs = []
        for share in np.arange(1, 101) / 100:
            step = share * most / 3
            rounded = np.clip(np.floor(values / step + 0.5), -3, 3) * step
            costs.append(np.square(rounded - values).sum())
        cost = np.square(codes[..., channel] - values).sum()
        assert cost == pytest.approx(min(costs), rel=1e-3)


def test_ranges_of_outputs_have_the_least_squared_error(made):
    model, x, quantized, _ = made
    seen = tf.nn.relu(
        tf.nn.conv2d(x, model.get_layer("a").kernel, 1, "VALID")
        + model.get_layer("a").bias
    ).numpy()
    quantizer = quantized.get_layer("relu").out_quantizer
    assert quantizer.rescaling_rate.shape == (4,)
    ranges = quantizer.range_max.numpy() / quantizer.rescaling_rate.numpy()
    for channel in range(4):
        values = seen[..., channel].ravel()

        def cost(end, values=values):
            return np.square(
                np.clip(np.floor(values / end * 7 + 0.5), 0, 7) * end / 7 - values
            ).sum()

        best = min(cost(share * values.max()) for share in np.arange(1, 101) / 100)
        assert cost(ranges[channel]) <= 1.02 * best


@pytest.mark.parametrize("bits", [2, pytest.param(4, marks=pytest.mark.slow), 8])
def test_the_default_is_never_worse_than_the_moving_average(bits):
    params = models.QuantizationParams(weight_bits=bits, activation_bits=bits)
    model, x = network(bits), pixels(64)
    found = {
        how: models.quantize(model, qparams=params, samples=x, calibration=how)
        for how in ("auto", "moving_average")
    }
    errors = {how: error(model, quantized, x) for how, quantized in found.items()}
    assert errors["auto"] <= errors["moving_average"] * (1 + 1e-6)
    if bits == 8:
        pairs = zip(
            *(quantized.get_weights() for quantized in found.values()), strict=True
        )
        assert all(np.array_equal(*pair) for pair in pairs)


def test_other_ranges_and_names_that_are_none(made):
    model, x, _, _ = made
    ends = {}
    for how in ("minmax", "percentile", "entropy"):
        quantized = models.quantize(
            model, qparams=PARAMS, samples=x, calibration=how, percentile=95
        )
        quantizer = quantized.get_layer("relu").out_quantizer
        ends[how] = quantizer.range_max.numpy() / quantizer.rescaling_rate.numpy()
    assert (ends["percentile"] < ends["minmax"]).all()
    assert (ends["entropy"] <= ends["minmax"] * (1 + 1e-6)).all()
    with pytest.raises(lq.errors.ArgumentError, match="unknown calibration 'msee'"):
        models.quantize(model, samples=x, calibration="msee")


def test_corrected_biases_take_the_mean_error_away(made):
    model, x, quantized, weights = made
    quantized.set_weights(weights)
    before = np.abs(np.mean(quantized(x) - model(x), 0)).max()
    models.correct_biases(model, quantized, x)
    after = np.abs(np.mean(quantized(x) - model(x), 0)).max()
    # What is left is what biases of 8 bits are rounded to.
    assert after < 0.02 * before + 1e-3 or after < 0.05 * before
    quantized.set_weights(weights)


def test_learned_rounding_is_better_and_leaves_kernels_on_their_levels(made):
    model, x, quantized, weights = made
    quantized.set_weights(weights)
    nearest = error(model, quantized, x)
    scales = [
        quantized.get_layer(n).weight_quantizer(quantized.get_layer(n).kernel).scales
        for n in "abc"
    ]
    report = models.adaround(model, quantized, x, steps=100)
    assert [layer.name for layer in report.layers] == ["a", "b", "c"]
    assert all(layer.loss <= layer.nearest_loss for layer in report.layers)
    assert error(model, quantized, x) < nearest
    for name, scale in zip("abc", scales, strict=True):
        layer = quantized.get_layer(name)
        stored = layer.weight_quantizer(layer.kernel)
        np.testing.assert_allclose(stored.scales, scale, rtol=1e-6)
        np.testing.assert_allclose(
            stored.to_float(), layer.kernel, rtol=1e-5, atol=1e-7
        )
    quantized.set_weights(weights)


def test_models_without_integers_are_refused(made):
    model, x, _, _ = made
    with pytest.raises(lq.errors.ArgumentError, match="has a kernel of integers"):
        models.adaround(model, model, x)
