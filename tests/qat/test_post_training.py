"""Ranges by their cost, equal ranges, corrected biases and learned rounding, without labels."""

import logging

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.primitives import fake_quant
from tests.common.eager import eagerly
from tests.qat.test_calibrate import ends

layers = tf_keras.layers


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def small_model(seed=0, **conv):
    """A convolution with a normalization and a ReLU, and a dense layer, outliers in both."""
    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((5, 5, 2), name="x"),
            layers.Conv2D(4, 3, name="conv", **conv),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="fc"),
        ]
    )
    model.get_layer("norm").moving_variance.assign([0.5, 1.0, 2.0, 4.0])
    for name in ("conv", "fc"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.random.default_rng(seed).standard_t(3, kernel.shape))
    return model


@pytest.fixture(scope="module")
def calibrated():
    """The model, its data, and a quantized copy of 3 bits with its weights."""
    model, x = small_model(), data(48, 5, 5, 2)
    with eagerly():
        quantized = qat.quantize_model(
            model, scheme="int3", calibrate=x, calibration="mse"
        )
    return model, x, quantized, quantized.get_weights()


def error(model, quantized, x):
    return float(
        np.mean(np.square(quantized(x, training=False) - model(x, training=False)))
    )


def test_mse_ranges_are_the_best_of_a_grid_for_weights_and_activations(calibrated):
    model, x, quantized, _ = calibrated
    conv = quantized.get_layer("quant_conv")
    (lows, highs), kernel = ends(conv, "kernel"), model.get_layer("conv").kernel.numpy()
    for channel in range(4):
        column, most = kernel[..., channel].ravel(), abs(kernel[..., channel]).max()
        errors = {
            share: np.square(
                fake_quant(column, -share * most, share * most, 3, True) - column
            ).sum()
            for share in np.arange(1, 101) / 100
        }
        best = min(errors, key=errors.get)
        assert (-lows[channel], highs[channel]) == pytest.approx(
            (best * most, best * most)
        )
    low, high = ends(quantized.get_layer("quant_relu"), "output")
    # What the ReLU sees is behind rounded weights.
    with lq.context.quantized_scope(True):
        rounded = conv.layer.kernel.numpy()
    sums = tf.nn.conv2d(x, rounded, 1, "VALID")
    seen = tf.nn.relu(model.get_layer("norm")(sums, training=False)).numpy().ravel()

    def cost(share):
        rounded = fake_quant(seen, 0.0, share * seen.max(), 3)
        return np.square(rounded - seen).sum()

    assert low == 0
    costs = [cost(share) for share in np.arange(1, 101) / 100]
    assert cost(high / seen.max()) <= min(costs) * 1.01


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_ranges_lie_within_the_extremes_and_keep_those_of_weights(
    calibrated, method
):
    _, x, quantized, weights = calibrated
    quantized.set_weights(weights)
    with eagerly():
        qat.calibrate(quantized, x, calibration="minmax")
        most = [end.copy() for end in ends(quantized.get_layer("quant_relu"), "output")]
        kernel = ends(quantized.get_layer("quant_conv"), "kernel")
        qat.calibrate(quantized, x, calibration=method, percentile=95)
    low, high = ends(quantized.get_layer("quant_relu"), "output")
    assert low == 0 < high <= most[1]
    if method == "percentile":
        assert high < most[1]
    np.testing.assert_array_equal(
        ends(quantized.get_layer("quant_conv"), "kernel"), kernel
    )
    quantized.set_weights(weights)


def test_histograms_do_not_depend_on_the_batches(calibrated):
    _, x, quantized, weights = calibrated
    with eagerly():
        qat.calibrate(quantized, [x[:7], x[7:40], x[40:]], calibration="mse")
    for one, other in zip(quantized.get_weights(), weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


SLOW = [pytest.param(word, marks=pytest.mark.slow) for word in ("int2", "int4")]


@pytest.mark.parametrize("scheme", ["int3", "int8", *SLOW])
def test_the_default_is_never_worse_than_the_extremes(scheme):
    for seed in (0, 1) if scheme == "int3" else (0,):
        model, x = small_model(seed), data(40, 5, 5, 2, seed=seed)
        with eagerly():
            quantized = qat.quantize_model(model, scheme=scheme, calibrate=x)
            by_default = error(model, quantized, x)
            ranges = quantized.get_weights()
            qat.calibrate(quantized, x, calibration="minmax")
        assert by_default <= error(model, quantized, x) * (1 + 1e-5)
        if scheme == "int8":
            for one, other in zip(quantized.get_weights(), ranges, strict=True):
                np.testing.assert_array_equal(one, other)


def test_dense_kernels_have_a_range_for_each_channel_where_that_is_asked_for():
    model, x = small_model(), data(16, 5, 5, 2)
    scheme = qat.DefaultNBitQuantizeScheme(
        num_bits_weight=4, num_bits_activation=8, per_axis_everywhere=True
    )
    with eagerly():
        quantized = qat.quantize_model(
            model, scheme=scheme, calibrate=x, calibration="minmax"
        )
    _, high = ends(quantized.get_layer("quant_fc"), "kernel")
    np.testing.assert_array_equal(
        high, abs(model.get_layer("fc").kernel.numpy()).max(0)
    )
    config = scheme.get_config()
    assert qat.DefaultNBitQuantizeScheme(**config).get_config() == config


def test_a_percentile_that_is_none_is_refused(calibrated):
    with pytest.raises(lq.errors.ArgumentError, match="percentile is 20"):
        qat.calibrate(calibrated[2], calibrated[1], percentile=20)


def test_a_corrected_bias_makes_the_mean_error_zero(calibrated):
    model, x, quantized, weights = calibrated
    quantized.set_weights(weights)
    assert qat.correct_biases(quantized, x) is quantized
    np.testing.assert_allclose(
        sums_of(quantized, x).mean(0), model(x).numpy().mean(0), atol=2e-4
    )
    quantized.set_weights(weights)


def sums_of(quantized, x):
    """What goes into the quantizer behind the last layer."""
    inside = tf_keras.Model(quantized.input, quantized.layers[-1].input)
    fc = quantized.layers[-1]
    with lq.context.quantized_scope(True):
        kernel = fc.layer.kernel.numpy()
    return inside(x, training=False).numpy() @ kernel + fc.layer.bias.numpy()


def test_without_a_bias_the_normalization_takes_the_error():
    model, x = small_model(use_bias=False), data(32, 5, 5, 2)
    with eagerly():
        quantized = qat.quantize_model(
            model, scheme="int3", calibrate=x, calibration="mse"
        )
    before = quantized.get_layer("quant_norm").layer.moving_mean.numpy()
    qat.correct_biases(quantized, x)
    conv, fq = quantized.get_layer("quant_conv"), quantized.layers[1]
    with lq.context.quantized_scope(True):
        kernel = conv.layer.kernel.numpy()
    rounded = tf.nn.conv2d(
        fq(x) if fq.name == "quantize_layer" else quantized.layers[0](x),
        kernel,
        1,
        "VALID",
    )
    wanted = tf.nn.conv2d(x, model.get_layer("conv").kernel, 1, "VALID")
    moved = quantized.get_layer("quant_norm").layer.moving_mean.numpy() - before
    expected = (rounded - wanted).numpy().mean((0, 1, 2))
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_layer_without_a_place_for_its_error_is_named(caplog):
    model = tf_keras.Sequential(
        [layers.Dense(2, use_bias=False, input_shape=(3,), name="fc")]
    )
    x = data(8, 3)
    with eagerly():
        quantized = qat.quantize_model(model, scheme="int3", calibrate=x)
    with caplog.at_level(logging.WARNING, "larqlite.qat"):
        qat.correct_biases(quantized, x)
    assert '"quant_fc" is left as it is: it has no bias' in caplog.text


def test_learned_rounding_is_better_than_the_nearest_and_stays_on_the_levels(
    calibrated,
):
    model, x, quantized, weights = calibrated
    quantized.set_weights(weights)
    nearest = error(model, quantized, x)
    report = qat.adaround(quantized, x, steps=100, seed=1)
    assert [layer.name for layer in report.layers] == ["quant_conv", "quant_fc"]
    assert all(layer.loss <= layer.nearest_loss for layer in report.layers)
    assert report.layers[0].loss < report.layers[0].nearest_loss
    assert "quant_conv" in str(report)
    assert error(model, quantized, x) < nearest
    conv = quantized.get_layer("quant_conv").layer
    with lq.context.quantized_scope(True):
        rounded = conv.kernel.numpy()
    np.testing.assert_allclose(conv.kernel.numpy(), rounded, rtol=1e-5, atol=1e-6)
    again = quantized.get_weights()
    quantized.set_weights(weights)
    qat.adaround(quantized, x, steps=100, seed=1)
    for one, other in zip(quantized.get_weights(), again, strict=True):
        np.testing.assert_array_equal(one, other)
    quantized.set_weights(weights)


def test_steps_that_are_none_and_models_without_kernels_are_refused(calibrated):
    with pytest.raises(lq.errors.ArgumentError, match="steps is 0"):
        qat.adaround(calibrated[2], calibrated[1], steps=0)
    with pytest.raises(lq.errors.ArgumentError, match="has a kernel that is rounded"):
        qat.correct_biases(calibrated[0], calibrated[1])


def test_a_failure_leaves_the_model_as_it_was(calibrated, monkeypatch):
    _, x, quantized, weights = calibrated
    quantized.set_weights(weights)
    calls = []

    def fails(*args, **kwargs):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr("larqlite.qat._post_training._moved", fails)
    with pytest.raises(KeyboardInterrupt):
        qat.adaround(quantized, x, steps=2)
    assert calls
    for one, other in zip(quantized.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def chain(activation="relu"):
    """Kernels of many kinds in a row, a normalization and poolings between them."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, input_shape=(12, 12, 2), name="a"),
            layers.BatchNormalization(name="norm"),
            layers.Activation(activation, name="act"),
            layers.DepthwiseConv2D(3, name="b"),
            layers.LeakyReLU(0.1),
            layers.ZeroPadding2D(),
            layers.Conv2D(3, 3, activation="relu", name="c"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5, name="d"),
        ]
    )
    for weight in model.weights:
        weight.assign(np.random.default_rng(1).uniform(0.1, 3, weight.shape))
    for name, kernel in (("a", "kernel"), ("b", "depthwise_kernel"), ("c", "kernel")):
        weight = getattr(model.get_layer(name), kernel)
        weight.assign(data(*weight.shape) * np.exp(data(weight.shape[-1], seed=3)))
    return model


def test_equalized_kernels_have_equal_ranges_and_the_model_computes_the_same():
    model, x = chain(), data(4, 12, 12, 2, seed=5)
    kept = model.get_weights()
    equal = qat.equalize(model)
    wanted = model(x).numpy()
    np.testing.assert_allclose(equal(x), wanted, rtol=0, atol=1e-5 * abs(wanted).max())
    a, norm, b, c, d = (equal.get_layer(n) for n in ("a", "norm", "b", "c", "d"))
    factor = np.abs(norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon))
    made = abs(a.kernel.numpy()).max((0, 1, 2)) * factor
    depthwise = abs(b.depthwise_kernel.numpy()).max((0, 1, 3))
    np.testing.assert_allclose(made, depthwise, rtol=5e-3)
    np.testing.assert_allclose(
        depthwise, abs(c.kernel.numpy()).max((0, 1, 3)), rtol=5e-3
    )
    read = abs(d.kernel.numpy()).reshape(-1, 3, 5).max((0, 2))
    np.testing.assert_allclose(abs(c.kernel.numpy()).max((0, 1, 2)), read, rtol=5e-3)
    for one, other in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_pair_has_the_square_root_of_the_formula():
    model = tf_keras.Sequential(
        [layers.Dense(2, activation="relu", input_shape=(2,)), layers.Dense(2)]
    )
    first, second = np.array([[8.0, -0.5], [1, 0.1]]), np.array([[2.0, 1], [0, -2]])
    model.layers[0].kernel.assign(first)
    model.layers[1].kernel.assign(second)
    equal = qat.equalize(model)
    s = np.sqrt(np.abs(first).max(0) / np.abs(second).max(1))
    np.testing.assert_allclose(equal.layers[0].kernel, first / s, rtol=1e-6)
    np.testing.assert_allclose(equal.layers[1].kernel, second * s[:, None], rtol=1e-6)


def test_relu6_is_named_and_its_layers_stay_as_they_are(caplog):
    model, x = chain("relu6"), data(2, 12, 12, 2)
    with caplog.at_level(logging.WARNING):
        equal = qat.equalize(model)
    assert 'the layers around "act" stay as they are' in caplog.text
    np.testing.assert_array_equal(
        equal.get_layer("a").kernel, model.get_layer("a").kernel
    )
    np.testing.assert_allclose(
        equal(x), model(x), rtol=0, atol=1e-5 * abs(model(x).numpy()).max()
    )
