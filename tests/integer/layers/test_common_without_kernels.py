"""What every layer without a kernel must do: configure, save, clone, train, and refuse."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import LarqliteError
from larqlite.integer import layers
from larqlite.integer.layers import internal
from larqlite.integer.layers.internal import QuantizedLayer
from tests.common.samples import in_turn
from tests.integer.layers.test_common import (
    KERNEL_LAYERS,
    require_equal_in_a_graph,
    require_told_types,
)

rng = np.random.default_rng(19)

IMAGE, TOKENS = (6, 6, 4), (5, 8)

# For each layer: its arguments, the shape of an input, and how many inputs it takes.
LAYERS = {
    layers.QuantizedActivationFunction: ({"activation": "hard_swish"}, IMAGE, 1),
    layers.QuantizedAdd: ({"average": True}, IMAGE, 3),
    layers.QuantizedAddPositionEmbs: ({"initializer": "he_uniform"}, TOKENS, 1),
    layers.QuantizedApproxSign: ({}, IMAGE, 1),
    layers.QuantizedAttention: ({"num_heads": 2}, TOKENS, 3),
    layers.QuantizedAveragePooling2D: ({"pool_size": 3, "padding": "same"}, IMAGE, 1),
    layers.QuantizedBatchNormalization: ({}, IMAGE, 1),
    layers.QuantizedClassToken: ({"initializer": "he_uniform"}, TOKENS, 1),
    layers.QuantizedConcatenate: ({}, IMAGE, 3),
    layers.QuantizedDropout: ({"rate": 0.5}, IMAGE, 1),
    layers.QuantizedELU: ({"alpha": 0.5}, IMAGE, 1),
    layers.QuantizedExtractToken: ({"token": 2}, TOKENS, 1),
    layers.QuantizedFlatten: ({}, IMAGE, 1),
    layers.QuantizedGlobalAveragePooling2D: ({}, IMAGE, 1),
    layers.QuantizedLayerNormalization: ({}, TOKENS, 1),
    layers.QuantizedLeakyReLU: ({"alpha": 0.1}, IMAGE, 1),
    layers.QuantizedMaxPool2D: ({}, IMAGE, 1),
    layers.QuantizedMultiply: ({}, IMAGE, 3),
    layers.QuantizedPermute: ({"dims": (2, 1)}, TOKENS, 1),
    layers.QuantizedReLU: ({"max_value": 3.0}, IMAGE, 1),
    layers.QuantizedRescaling: ({"scale": 0.5}, IMAGE, 0),
    layers.QuantizedReshape: ({"target_shape": (8, 5)}, TOKENS, 1),
    layers.QuantizedShiftmax: ({}, TOKENS, 1),
    layers.QuantizedSign: ({"clip_value": 2.0}, IMAGE, 1),
    layers.QuantizedSoftmax: ({}, TOKENS, 1),
    layers.QuantizedSwishSign: ({"beta": 3.0}, IMAGE, 1),
    layers.QuantizedTernary: ({"threshold_value": 0.6}, IMAGE, 1),
    layers.QuantizedUpSampling2D: ({"size": 2}, IMAGE, 1),
    layers.QuantizedZeroPadding2D: ({"padding": ((1, 2), (0, 3))}, IMAGE, 1),
}


def model_of(cls):
    """A model whose layer "layer" is of the class, behind layers with weights."""
    arguments, shape, count = LAYERS[cls]
    if cls.holds_output_quantizer:
        arguments = {**arguments, "quant_config": {"output_quantizer": {"bitwidth": 8}}}
    inputs = tf_keras.Input(shape, dtype="int32")
    sources = []
    x = inputs if count == 0 else layers.QuantizedRescaling(1 / 64, name="in")(inputs)
    for i in range(count):
        y = layers.QuantizedDense(shape[-1], name=f"dense_{i}")(x)
        sources.append(layers.OutputQuantizer(8, name=f"before_{i}")(y))
    outputs = cls(**arguments, name="layer")(
        (sources or [x])[0] if count < 2 else sources
    )
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    model = tf_keras.Model(inputs, layers.Dequantizer()(outputs))
    for layer in model.layers:
        layer = getattr(layer, "out_quantizer", None) or layer
        if isinstance(layer, layers.OutputQuantizer):
            layer.calibrate(4.0)
    x = rng.integers(-128, 128, size=(3, *shape)).astype(np.int32)
    return model, x


every_layer = pytest.mark.parametrize("cls", LAYERS)


def test_every_layer_is_checked_here_or_with_the_kernels():
    known = {c for c in internal.QUANTIZED.values() if issubclass(c, QuantizedLayer)}
    assert known == {*LAYERS, *KERNEL_LAYERS}


# Half of them with make test, in one format of files; all in both with make test-all.
IN_FILES = [
    *in_turn(list(LAYERS)[::2], [".keras", ".h5"]),
    *(
        pytest.param(cls, ending, marks=pytest.mark.slow)
        for cls in list(LAYERS)[1::2]
        for ending in (".keras", ".h5")
    ),
]


@pytest.mark.parametrize(("cls", "ending"), IN_FILES)
def test_a_model_computes_the_same_in_every_way_and_trains(cls, ending, tmp_path):
    model, x = model_of(cls)
    with tf.GradientTape() as tape:
        outputs = model(x)
        loss = tf.reduce_sum(outputs * rng.normal(size=outputs.shape))
    expected = outputs.numpy()
    assert np.all(np.isfinite(expected))
    assert len(np.unique(expected)) > 1
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.all(np.isfinite(gradient)), weight.name
        assert np.any(gradient), weight.name
    require_equal_in_a_graph(model, x)
    np.testing.assert_array_equal(model(x, training=True), expected)
    require_told_types(model, x)
    model.save(tmp_path / f"model{ending}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{ending}")
    np.testing.assert_array_equal(loaded(x), expected)
    layer = loaded.get_layer("layer")
    assert layer.quant_config == model.get_layer("layer").quant_config
    clone = tf_keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), expected)


@every_layer
def test_a_configuration_is_plain_and_makes_the_same_layer_again(cls):
    arguments, _, _ = LAYERS[cls]
    layer = cls(**arguments)
    config = layer.get_config()
    assert json.loads(json.dumps(layer.quant_config)) == layer.quant_config
    assert type(layer.quant_config) is dict
    again = cls.from_config(config)
    assert json.dumps(again.get_config()) == json.dumps(config)
    if cls.buffer_cap is not None:
        assert layer.quant_config["buffer_bitwidth"] == 32


@every_layer
def test_a_float_layer_becomes_the_quantized_one(cls):
    for source in (c for c, value in internal.QUANTIZED.items() if value is cls):
        arguments, _, _ = LAYERS[cls]
        if source in (tf_keras.layers.Add, tf_keras.layers.Average):
            arguments = {}
        if source is layers.Attention:
            arguments = {**arguments, "softmax": "shiftmax"}
        layer = source(**arguments, name="layer")
        config = layer.get_config()
        assert internal.quantized_class(layer) is cls
        if hasattr(cls, "refuses"):
            assert cls.refuses(layer) is None
        if hasattr(cls, "config_from"):
            config = cls.config_from(layer)
        twin = cls.from_config({**config, "quant_config": None})
        assert twin.name == "layer"
        for key, value in config.items():
            if key != "dtype":
                assert twin.get_config()[key] == value, key


def test_an_activation_is_a_softmax_or_a_table_by_its_function():
    softmax = tf_keras.layers.Activation("softmax", name="end")
    assert internal.quantized_class(softmax) is layers.QuantizedSoftmax
    config = layers.QuantizedSoftmax.config_from(softmax)
    assert layers.QuantizedSoftmax.from_config(config).axis == -1
    swish = tf_keras.layers.Activation("swish")
    assert internal.quantized_class(swish) is layers.QuantizedActivationFunction


@every_layer
def test_keys_and_formats_that_do_not_exist_are_refused_by_name(cls):
    arguments, _, _ = LAYERS[cls]
    wrongs = [{"quant_config": {"output_quantiser": {}}}, {"dtype": "float16"}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=f'{cls.__name__} "here"') as caught:
            cls(**{**arguments, **wrong}, name="here")
        assert isinstance(caught.value, LarqliteError)
        assert "Fix: " in str(caught.value)
