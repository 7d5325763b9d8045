"""The snippets of TFMOT's README and of its Quantizer page, their gaps filled in."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.qat import (
    NoOpQuantizeConfig,
    QuantizeConfig,
    quantize_annotate_layer,
    quantize_annotate_model,
)
from larqlite.qat.quantizers import LastValueQuantizer, Quantizer

layers = tf_keras.layers


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def train_one_step(model, x, run_eagerly=True):
    before = [w.numpy() for w in model.trainable_weights]
    model.compile(tf_keras.optimizers.SGD(0.01), "mse", run_eagerly=run_eagerly)
    model.fit(x, np.ones((len(x), *model.output_shape[1:])), verbose=0)
    for a, b in zip(before, model.trainable_weights, strict=True):
        assert np.abs(a - b.numpy()).max() > 0, b.name


def per_channel(kernel, bits):
    """Symmetric fake quantization with a range for each index of the last axis."""
    highest = 2 ** (bits - 1) - 1
    ends = kernel.reshape(-1, kernel.shape[-1])
    largest = np.maximum(ends.max(0), -ends.min(0) * highest / (highest + 1))
    step = np.float32(largest / highest)
    return np.clip(np.round(kernel / step), -highest - 1, highest) * step


# 000: the Quantizer page.


class FixedRangeFromZero(Quantizer):
    """Example quantizer which clips tensors in a fixed range."""

    def build(self, tensor_shape, name, layer):
        range_var = layer.add_weight(
            name + "_range",
            initializer=tf_keras.initializers.Constant(6.0),
            trainable=False,
        )

        return {
            "range_var": range_var,
        }

    def __call__(self, inputs, training, weights, **kwargs):
        return tf_keras.backend.clip(inputs, 0.0, weights["range_var"])

    def get_config(self):
        # Not needed. No __init__ parameters to serialize.
        return {}


def test_the_quantizer_of_the_reference_page_clips_outputs():
    config = qat.LayerQuantizeConfig(outputs=FixedRangeFromZero())
    model = tf_keras.Sequential(
        [quantize_annotate_layer(layers.Dense(5, input_shape=(3,), name="fc"), config)]
    )
    quantized = qat.quantize_apply(model)
    x = 4 * data(16, 3)
    train_one_step(quantized, x)
    wrapper = quantized.layers[-1]
    assert [w.name for w in wrapper.non_trainable_weights] == [
        "quant_fc/optimizer_step:0",
        "quant_fc/output_range:0",
    ]
    qat.calibrate(quantized, x)
    kernel, bias = (w.numpy() for w in wrapper.trainable_weights)
    step = np.ptp(x) / 255
    expected = np.clip(x @ kernel + bias, 0, 6)
    assert expected.max() == 6
    assert expected.min() == 0
    bound = step / 2 * np.abs(kernel).sum(0) + 1e-5
    assert np.all(np.abs(quantized(x) - expected) <= bound)
    assert FixedRangeFromZero.from_config({}) == FixedRangeFromZero()


# 002: the README.


def test_quantize_an_entire_model():
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(6, 6, 2)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    x = data(16, 6, 6, 2)
    quantized_model = qat.quantize_model(model, calibrate=x)
    expected = model(x).numpy()
    difference = np.abs(quantized_model.predict(x, verbose=0) - expected).max()
    assert 0 < difference < 0.03 * np.ptp(expected)
    train_one_step(quantized_model, x, run_eagerly=False)


def test_quantize_a_subset_of_a_model():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 2)),
            quantize_annotate_layer(layers.Conv2D(4, 3)),
            quantize_annotate_layer(layers.ReLU()),
            layers.Flatten(),
            # Dense won't be quantized since it hasn't been annotated.
            layers.Dense(3),
        ]
    )
    quantized_model = qat.quantize_apply(model)
    names = [type(layer).__name__ for layer in quantized_model.layers]
    assert names == ["QuantizeLayer", *["QuantizeWrapperV2"] * 2, "Flatten", "Dense"]
    train_one_step(quantized_model, data(8, 6, 6, 2))


class ConvQuantizeConfig(QuantizeConfig):
    """Custom QuantizeConfig for Conv layer: three methods, as in the README."""

    def get_weights_and_quantizers(self, layer):
        # Use 4-bits to quantized weights instead of 8.
        return [(layer.kernel, LastValueQuantizer(num_bits=4, per_axis=True))]

    def get_activations_and_quantizers(self, layer):
        # Don't quantize the activation.
        return []

    def get_output_quantizers(self, layer):
        return []


def test_a_custom_config_of_three_methods_quantizes_each_channel_to_four_bits():
    model = quantize_annotate_model(
        tf_keras.Sequential(
            [
                tf_keras.Input((6, 6, 2)),
                quantize_annotate_layer(layers.Conv2D(4, 3), ConvQuantizeConfig()),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    quantized_model = qat.quantize_apply(model)
    x = data(8, 6, 6, 2)
    train_one_step(quantized_model, x)
    conv = quantized_model.layers[1]
    assert [w.shape for w in conv.non_trainable_weights] == [(), (4,), (4,)]
    qat.calibrate(quantized_model, x, calibration="minmax")
    kernel, bias = (w.numpy() for w in conv.trainable_weights)
    expected = per_channel(kernel, 4)
    assert all(len(np.unique(expected[..., c])) <= 16 for c in range(4))
    np.testing.assert_allclose(
        conv(x), tf.nn.conv2d(x, expected, 1, "VALID") + bias, rtol=1e-5, atol=1e-6
    )


class FixedRangeQuantizer(Quantizer):
    """Quantizer which has a fixed range between -1 and 1, kept on itself."""

    def build(self, tensor_shape, name, layer):
        self.min_weight = layer.add_weight(
            name + "_min",
            initializer=tf_keras.initializers.Constant(-1.0),
            trainable=False,
        )
        self.max_weight = layer.add_weight(
            name + "_max",
            initializer=tf_keras.initializers.Constant(1.0),
            trainable=False,
        )

    def __call__(self, inputs, step, training, **kwargs):
        self.seen = (step, training)
        return tf.clip_by_value(inputs, self.min_weight, self.max_weight)


class OwnAlgorithmConfig(ConvQuantizeConfig):
    def get_weights_and_quantizers(self, layer):
        # Use FixedRangeQuantizer instead of default Quantizer.
        self.quantizer = FixedRangeQuantizer()
        return [(layer.kernel, self.quantizer)]


def test_an_algorithm_of_ones_own_keeps_variables_on_itself_and_is_told_the_step():
    config = OwnAlgorithmConfig()
    conv = layers.Conv2D(4, 3, name="conv", kernel_initializer="random_uniform")
    model = tf_keras.Sequential(
        [tf_keras.Input((6, 6, 2)), quantize_annotate_layer(conv, config)]
    )
    conv.set_weights([3 * data(3, 3, 2, 4), np.zeros(4)])
    quantized_model = qat.quantize_apply(model)
    x = data(8, 6, 6, 2)
    wrapper = quantized_model.layers[1]
    quantized_model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    before = wrapper.layer.kernel.numpy()
    for expected_step in range(3):
        quantized_model.fit(x, np.ones((8, 4, 4, 4)), verbose=0)
        assert wrapper.optimizer_step.numpy() == expected_step
    assert config.quantizer.seen[0] is wrapper.optimizer_step
    # The gradient of a clipped value is zero: these do not move.
    moved = before != wrapper.layer.kernel.numpy()
    inside = np.abs(before) < 1
    assert not moved[~inside].any()
    assert moved[inside].mean() > 0.95
    qat.calibrate(quantized_model, x)
    assert wrapper.optimizer_step.numpy() == 2
    kernel, bias = (w.numpy() for w in wrapper.trainable_weights)
    expected = tf.nn.conv2d(x, np.clip(kernel, -1, 1), 1, "VALID") + bias
    np.testing.assert_allclose(wrapper(x), expected, rtol=1e-4, atol=1e-5)


class MyLayer(layers.Layer):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        super().build(input_shape)

    def call(self, inputs):
        return tf.matmul(inputs, self.kernel)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class MyLayerQuantizeConfig(QuantizeConfig):
    """QuantizeConfig for MyLayer."""

    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, LastValueQuantizer())]

    def get_activations_and_quantizers(self, layer):
        return []

    def get_output_quantizers(self, layer):
        return []


def test_a_custom_layer_with_a_config_and_one_that_is_left_as_it_is():
    model = quantize_annotate_model(
        tf_keras.Sequential(
            [
                tf_keras.Input((5,)),
                quantize_annotate_layer(MyLayer(), MyLayerQuantizeConfig()),
                # NoOpQuantizeConfig implies layer won't be quantized.
                quantize_annotate_layer(MyLayer(2), NoOpQuantizeConfig()),
            ]
        )
    )
    quantized_model = qat.quantize_apply(model)
    x = data(8, 5)
    train_one_step(quantized_model, x)
    qat.calibrate(quantized_model, x)
    first, second = (layer.layer.kernel.numpy() for layer in quantized_model.layers[1:])
    eight_bits = per_channel(first.reshape(-1, 1), 8).reshape(first.shape)
    assert not np.allclose(eight_bits, first, atol=1e-6)
    quantize_layer = quantized_model.layers[0]
    values = quantize_layer(x).numpy()
    assert np.abs(values - x).max() <= np.ptp(x) / 255 / 2 * 1.001
    outputs = quantized_model(x)
    np.testing.assert_allclose(outputs, values @ eight_bits @ second, atol=1e-5)


@pytest.mark.parametrize("name", ["LastValueQuantizer", "MovingAverageQuantizer"])
def test_without_arguments_quantizers_are_those_of_the_guides_config(name):
    # TFMOT wants all four arguments; the guide's config names these.
    expected = {"num_bits": 8, "per_axis": False, "narrow_range": False}
    expected["symmetric"] = name == "LastValueQuantizer"
    assert getattr(qat.quantizers, name)().get_config() == expected
