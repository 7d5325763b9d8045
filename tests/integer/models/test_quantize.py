"""`quantize`: what it makes of a model, and what it refuses."""

import json
import warnings

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import (
    ArgumentError,
    QuantizedTypeError,
    UnsupportedLayerError,
    UnsupportedModelError,
)
from tests.common.eager import eagerly
from tests.integer import networks

layers = tf_keras.layers
models = lq.integer.models
IMAGES = networks.random_images(48, (12, 12, 3))


def small(*more, shape=(12, 12, 3)):
    return tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=shape, name="conv"),
            *more,
            layers.Flatten(name="flat"),
            layers.Dense(3, name="fc"),
        ]
    )


def quantized(model, **arguments):
    with eagerly():
        return models.quantize(model, samples=IMAGES, num_samples=48, **arguments)


def kinds(model):
    return {layer.name: type(layer).__name__ for layer in model.layers}


def test_the_given_model_stays_as_it_is():
    model = small()
    before = model.get_weights()
    config = json.dumps(model.get_config(), default=str)
    quantized(model)
    assert json.dumps(model.get_config(), default=str) == config
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_output_quantizers_stand_before_layers_that_add_values_up():
    model = small(layers.MaxPooling2D(), layers.Conv2D(4, 3, name="second"))
    config = models.dump_config(quantized(model))
    relu = {"bitwidth": 8, "signed": True, "axis": "per-axis"}
    assert config["conv_relu"]["output_quantizer"] == relu
    assert "output_quantizer" not in config["conv"]
    assert config["second"]["output_quantizer"] == relu
    assert "output_quantizer" not in config["fc"]
    assert config["fc"]["buffer_bitwidth"] == 28


def test_an_output_of_rank_2_is_quantized_per_tensor():
    model = tf_keras.Sequential(
        [layers.Dense(4, input_shape=(6,), name="a"), layers.Dense(2, name="b")]
    )
    integers = models.quantize(model, num_samples=4)
    quantizer = models.dump_config(integers)["a"]["output_quantizer"]
    assert quantizer["axis"] == "per-tensor"


def test_activation_bits_below_8_are_unsigned_after_a_relu():
    params = models.QuantizationParams(
        activation_bits=4, weight_bits=3, input_weight_bits=5, output_bits=6
    )
    model = small(layers.Conv2D(4, 3, name="second"))
    config = models.dump_config(quantized(model, qparams=params))
    assert config["conv"]["weight_quantizer"] == {"bitwidth": 5}
    assert config["second"]["weight_quantizer"] == {"bitwidth": 3}
    assert config["conv_relu"]["output_quantizer"]["bitwidth"] == 4
    assert config["conv_relu"]["output_quantizer"]["signed"] is False
    assert config["second"]["output_quantizer"]["bitwidth"] == 6


def summing(*mean):
    """A convolution whose sums over an image do not fit: each weight is the largest."""
    chain = [
        layers.Conv2D(2, 3, use_bias=False, name="conv"),
        layers.ReLU(name="relu"),
        *mean,
        layers.Dense(2, name="fc"),
    ]
    model = tf_keras.Sequential([layers.InputLayer((34, 34, 3)), *chain])
    model.get_layer("conv").kernel.assign(np.full((3, 3, 3, 2), 0.01))
    return model


LARGE = networks.random_images(8, (34, 34, 3))


@pytest.mark.parametrize(
    "mean",
    [
        lambda: [layers.GlobalAveragePooling2D(name="mean")],
        lambda: [layers.AveragePooling2D(32, name="mean"), layers.Flatten()],
    ],
    ids=["global", "window"],
)
def test_few_bits_come_into_a_mean_whose_sum_would_saturate(mean):
    """The sum of 1024 accumulators of 20 bits, times scales of 8, in 32 bits."""
    model = summing(*mean())
    with eagerly():
        # A generator allows for one calibration.
        integers = models.quantize(model, samples=(LARGE[i : i + 4] for i in (0, 4)))
    assert "output_quantizer" in models.dump_config(integers)["relu"]
    assert models.check_quantization(integers) == []
    expected = model(LARGE).numpy()
    error = np.abs(integers(LARGE) - expected).max()
    assert error < 0.02 * np.abs(expected).max()


def test_a_mean_that_is_configured_to_saturate_is_warned_of_with_the_fix():
    model, samples = summing(layers.GlobalAveragePooling2D(name="mean")), LARGE[:2]
    with eagerly():
        with pytest.warns(UserWarning, match="saturate.*\n.*the layer before") as seen:
            models.quantize(model, q_config={"relu": {}}, samples=samples)
        assert 'lq.integer.quantize: the accumulators of "mean"' in str(seen[0].message)
        fixed = {"relu": {"output_quantizer": {"bitwidth": 8}}}
        models.quantize(model, q_config=fixed, samples=samples)  # a warning is an error


def weight_bits(config: dict) -> list[int]:
    """Of the kernels of a layer."""
    return [part["bitwidth"] for key, part in config.items() if "weight" in key]


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Conv2D(3, 3, name="first"),
        lambda: layers.Conv2DTranspose(3, 3, name="first"),
        lambda: layers.DepthwiseConv2D(3, name="first"),
        lambda: layers.SeparableConv2D(3, 3, name="first"),
        lambda: layers.Dense(3, name="first"),
    ],
    ids=["plain", "transposed", "depthwise", "separable", "dense"],
)
def test_input_weight_bits_are_those_of_the_first_kernels_alone(first):
    """Of every kind of layer with kernels; a pooling before it has none."""
    chain = [layers.MaxPooling2D(), first(), layers.Conv2D(2, 3, name="second")]
    model = tf_keras.Sequential([layers.InputLayer((12, 12, 3)), *chain])
    params = models.QuantizationParams(weight_bits=3, input_weight_bits=5)
    config = models.dump_config(quantized(model, qparams=params))
    assert set(weight_bits(config["first"])) == {5}
    assert weight_bits(config["second"]) == [3]


def test_a_configuration_replaces_all_defaults_of_its_layer():
    own = {
        "weight_quantizer": {"bitwidth": 4},
        "output_quantizer": {"bitwidth": 6, "axis": "per-tensor"},
    }
    model = small(layers.Conv2D(4, 3, name="second"))
    config = models.dump_config(quantized(model, q_config={"second": own}))
    assert config["second"]["weight_quantizer"] == {"bitwidth": 4}
    assert config["second"]["output_quantizer"]["bitwidth"] == 6
    json.dumps(config)


def test_an_add_of_three_branches_is_quantized():
    x = layers.Input((8, 8, 3))
    branches = [layers.Conv2D(4, 1, name=f"b{i}")(x) for i in range(3)]
    y = layers.Add(name="sum")(branches)
    y = layers.Concatenate(name="cat")([y, *branches[:2]])
    model = tf_keras.Model(x, layers.Conv2D(2, 1, name="last")(y))
    images = networks.random_images(64, (8, 8, 3))
    integers = models.quantize(model, samples=images)
    assert kinds(integers)["sum"] == "QuantizedAdd"
    assert kinds(integers)["cat"] == "QuantizedConcatenate"
    of_float = model(images.astype("f"))
    error = np.abs(integers(images) - of_float).max()
    assert error < 0.05 * np.abs(of_float).max()


def test_a_nested_model_is_quantized():
    inner = tf_keras.Sequential(
        [
            layers.Conv2D(
                4, 3, activation="relu", input_shape=(12, 12, 3), name="inside"
            )
        ],
        name="inner",
    )
    model = tf_keras.Sequential([inner, layers.Flatten(), layers.Dense(3)])
    integers = quantized(model)
    assert kinds(integers)["inside"] == "QuantizedConv2D"


def test_what_follows_an_unknown_layer_stays_float_and_is_named_once():
    model = small(layers.ThresholdedReLU(name="bend"))
    with pytest.warns(UserWarning, match='"bend".*ThresholdedReLU.*flat.*fc') as seen:
        integers = quantized(model)
    assert len([w for w in seen if "stays float" in str(w.message)]) == 1
    assert kinds(integers)["conv"] == "QuantizedConv2D"
    assert kinds(integers)["fc"] == "Dense"
    of_float = model(IMAGES)
    error = np.abs(integers(IMAGES) - of_float).max()
    assert error < 0.05 * np.abs(of_float).max()


def test_an_unknown_layer_can_be_refused():
    model = small(layers.ThresholdedReLU(name="bend"))
    with pytest.raises(UnsupportedLayerError, match='"bend"'):
        quantized(model, on_unsupported="raise")
    with pytest.raises(ArgumentError, match='"warn" or "raise"'):
        quantized(model, on_unsupported="ignore")


def test_a_final_softmax_stays_float_silently():
    model = small(layers.Dense(5, name="logits"), layers.Softmax(name="p"))
    model = tf_keras.Sequential(
        [*small().layers[:-1], layers.Dense(3, activation="softmax", name="fc")]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        integers = quantized(model)
    sums = integers(IMAGES).numpy().sum(-1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_model_without_any_integer_layer_is_refused():
    model = tf_keras.Sequential([layers.LSTM(3, input_shape=(4, 2), name="rnn")])
    with pytest.raises(UnsupportedModelError, match=r'"rnn".*no integer LSTM'):
        models.quantize(model)


@pytest.mark.parametrize("name", ["con", "dense_7"])
def test_an_unknown_layer_in_the_configuration_is_refused(name):
    with pytest.raises(ArgumentError, match=f'"{name}"'):
        quantized(small(), q_config={name: {}})


def test_a_wrong_configuration_key_names_its_near_match():
    with pytest.raises(ArgumentError, match="weight_quantizer"):
        quantized(small(), q_config={"conv": {"weight_quantiser": {"bitwidth": 8}}})


def test_a_model_that_is_quantized_already_needs_a_configuration():
    integers = quantized(small())
    with pytest.raises(ArgumentError, match=r"quantized already.*conv"):
        quantized(integers)


def test_a_quantized_model_takes_another_configuration():
    model = small(layers.Conv2D(4, 3, name="second"))
    integers = quantized(model)
    config = models.dump_config(integers)
    config["second"]["weight_quantizer"]["bitwidth"] = 4
    again = quantized(integers, q_config=config)
    assert models.dump_config(again) == config
    direct = quantized(model, q_config=config)
    np.testing.assert_allclose(again(IMAGES), direct(IMAGES), atol=0.02)


def test_something_that_is_no_model_is_refused():
    with pytest.raises(QuantizedTypeError, match="no tf_keras model"):
        models.quantize("model.h5")


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Own(tf_keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(UnsupportedModelError, match="Fix: build it"):
        models.quantize(Own())


@pytest.mark.parametrize(
    "first",
    [
        lambda: [layers.DepthwiseConv2D(3)],
        lambda: [layers.Rescaling(1 / 255), layers.DepthwiseConv2D(3)],
        lambda: [layers.Rescaling(1 / 255), layers.Conv2DTranspose(3, 3)],
        lambda: [layers.Rescaling(1 / 255), layers.ZeroPadding2D(2)],
        lambda: [layers.Rescaling(1 / 255), layers.MaxPooling2D()],
        lambda: [layers.SeparableConv2D(3, 3)],
    ],
    ids=[
        "depthwise",
        "scaled depthwise",
        "transposed",
        "padding",
        "pooling",
        "separable",
    ],
)
def test_networks_may_begin_with_any_of_these(first):
    first = first()
    model = tf_keras.Sequential(
        [layers.InputLayer((12, 12, 3)), *first, layers.Conv2D(3, 3), layers.Flatten()]
    )
    integers = quantized(model)
    of_float = model(IMAGES)
    error = np.abs(integers(IMAGES) - of_float).max()
    assert error < 0.05 * np.abs(of_float).max()
    assert set(kinds(integers).values()) & {"Conv2D", "DepthwiseConv2D"} == set()


def test_a_rescaling_in_the_middle_stays_float():
    model = small(layers.Rescaling(0.5, name="half"))
    with pytest.warns(UserWarning, match='"half".*model\'s input'):
        integers = quantized(model)
    assert kinds(integers)["half"] == "Rescaling"


def test_a_first_layer_that_takes_no_integers_is_named():
    model = tf_keras.Sequential(
        [lq.integer.layers.Shiftmax(input_shape=(5,), name="s"), layers.Dense(2)]
    )
    with pytest.raises(UnsupportedModelError, match=r'"s".*not on the model\'s input'):
        models.quantize(model)


def test_parameters_of_another_type_are_refused():
    with pytest.raises(QuantizedTypeError, match="qparams is a dict"):
        quantized(small(), qparams={"weight_bits": 4})
