"""What every quantized layer must do: configure, save, clone, train, and refuse."""

import copy
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import LarqliteError
from larqlite.integer import layers
from larqlite.integer.layers import internal
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models import QuantizationParams, quantization
from larqlite.integer.tensors import QTensor
from tests.common.samples import in_turn

rng = np.random.default_rng(3)

OUTPUT = {"output_quantizer": {"bitwidth": 8}}


# For each kernel layer: its arguments, and the shape of an input.
KERNEL_LAYERS = {
    layers.QuantizedConv1D: ({"filters": 3, "kernel_size": 2}, (5, 4)),
    layers.QuantizedConv2D: (
        {"filters": 3, "kernel_size": 2, "padding_value": 0.5},
        (5, 5, 4),
    ),
    layers.QuantizedConv2DTranspose: ({"filters": 3, "kernel_size": 2}, (5, 5, 4)),
    layers.QuantizedDense: ({"units": 3}, (4,)),
    layers.QuantizedDepthwiseConv2D: ({"kernel_size": 2}, (5, 5, 4)),
    layers.QuantizedDepthwiseConv2DTranspose: (
        {"kernel_size": 2, "strides": 2, "padding": "same"},
        (5, 5, 4),
    ),
    layers.QuantizedSeparableConv2D: ({"filters": 3, "kernel_size": 2}, (5, 5, 4)),
}


def model_of(cls, quant_config=OUTPUT):
    arguments, shape = KERNEL_LAYERS[cls]
    inputs = tf_keras.Input(shape, dtype="int32")
    x = layers.QuantizedRescaling(0.05, name="rescaling")(inputs)
    x = layers.OutputQuantizer(6, name="first")(x)
    x = cls(**arguments, quant_config=quant_config, name="layer")(x)
    model = tf_keras.Model(inputs, layers.Dequantizer()(x))
    for quantizer in (model.get_layer("first"), model.get_layer("layer").out_quantizer):
        if quantizer is not None:
            quantizer.calibrate(1.0 if quantizer.name == "first" else 7.0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    x = rng.integers(0, 256, size=(3, *shape)).astype(np.int32)
    return model, x


def require_told_types(model, x):
    """The types, shapes and bounds that Keras was told of each layer are those it has."""
    layers = model.layers[1:]
    outputs = tf_keras.Model(model.input, [layer.output for layer in layers])(x)
    for layer, found in zip(layers, outputs, strict=True):
        for told, value in zip(
            tf.nest.flatten(layer.output), tf.nest.flatten(found), strict=True
        ):
            spec = tf.type_spec_from_value(value)
            assert told.type_spec.is_compatible_with(spec), (layer.name, told, spec)


def require_equal_in_a_graph(model, x):
    """The layer computes in a graph, whatever the batch, what it does without one."""
    layer = model.get_layer("layer")
    inputs = tf_keras.Model(model.input, layer.input)(x)
    found, wanted = (
        [part.to_float() for part in tf.nest.flatten(call(inputs))]
        for call in (
            tf.function(layer, input_signature=[spec_of(layer.input)]),
            layer,
        )
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def spec_of(tensors):
    return tf.nest.map_structure(lambda tensor: tensor.type_spec, tensors)


ONLY_COMPILED_HERE = (
    layers.QuantizedConv1D,
    layers.QuantizedConv2DTranspose,
    layers.QuantizedDepthwiseConv2DTranspose,
    layers.QuantizedSeparableConv2D,
)
every_kernel_layer = pytest.mark.parametrize("cls", KERNEL_LAYERS)
every_quantized_class = pytest.mark.parametrize(
    "cls", sorted(set(internal.QUANTIZED.values()), key=lambda cls: cls.__name__)
)


@every_quantized_class
def test_a_class_says_what_quantization_needs_to_know(cls):
    assert issubclass(cls, (QuantizedLayer, tf_keras.layers.Layer))
    assert isinstance(cls.requires_aligned_inputs, bool)
    assert isinstance(cls.holds_output_quantizer, bool)
    assert isinstance(cls.weight_quantizers, tuple)
    assert cls.accepts
    assert cls.__name__ in layers.__all__
    float_class = internal.float_class(cls)
    assert internal.quantized_class(float_class) is cls
    saved = tf_keras.saving.get_registered_name(cls)
    assert saved == f"larqlite.integer>{cls.__name__}"


def test_all_kernel_layers_are_checked_here():
    with_weights = {
        cls
        for cls in internal.QUANTIZED.values()
        if getattr(cls, "weight_quantizers", ())
    }
    assert with_weights == set(KERNEL_LAYERS)


@pytest.mark.parametrize(("cls", "ending"), in_turn(KERNEL_LAYERS, [".keras", ".h5"]))
def test_a_model_computes_the_same_in_every_way(cls, ending, tmp_path):
    model, x = model_of(cls)
    expected = model(x).numpy()
    assert len(np.unique(expected)) > 4
    np.testing.assert_array_equal(model(x, training=True), expected)
    require_told_types(model, x)
    model.save(tmp_path / f"model{ending}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{ending}")
    np.testing.assert_array_equal(loaded(x), expected)
    assert loaded.get_layer("first").is_calibrated
    layer = loaded.get_layer("layer")
    assert layer.quant_config == model.get_layer("layer").quant_config
    clone = tf_keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), expected)


@every_kernel_layer
def test_a_configuration_is_plain_and_complete(cls):
    arguments, _ = KERNEL_LAYERS[cls]
    given = copy.deepcopy(OUTPUT)
    layer = cls(**arguments, quant_config=given)
    assert given == OUTPUT
    config = layer.quant_config
    assert json.loads(json.dumps(config)) == config
    assert type(config) is dict
    is_separable = cls is layers.QuantizedSeparableConv2D
    assert config["buffer_bitwidth"] == (32 if is_separable else 28)
    for key in cls.weight_quantizers:
        assert config[key]["bitwidth"] == 8
    again = cls.from_config(layer.get_config())
    assert again.quant_config == config
    layer.get_config()["quant_config"]["output_quantizer"]["bitwidth"] = 3
    assert layer.quant_config["output_quantizer"]["bitwidth"] == 8


@every_kernel_layer
def test_bits_that_are_not_given_are_those_of_the_parameters(cls):
    arguments, _ = KERNEL_LAYERS[cls]
    with quantization(QuantizationParams(weight_bits=4, buffer_bits=24)):
        layer = cls(**arguments)
    for key in cls.weight_quantizers:
        assert getattr(layer, key).bitwidth == 4
    assert layer.quant_config["buffer_bitwidth"] == 24
    assert layer.out_quantizer is None


@pytest.mark.parametrize(("cls", "bits"), in_turn(KERNEL_LAYERS, [1, 2, 8]))
def test_gradients_reach_every_float_weight(cls, bits):
    config = {key: {"bitwidth": bits} for key in cls.weight_quantizers}
    model, x = model_of(cls, {**OUTPUT, **config})
    with tf.GradientTape() as tape:
        outputs = model(x)
        loss = tf.reduce_sum(outputs * rng.normal(size=outputs.shape))
    layer = model.get_layer("layer")
    assert len(layer.trainable_weights) == len(cls.weight_quantizers) + 1
    gradients = tape.gradient(loss, layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.name
        assert np.all(np.isfinite(gradient)), weight.name
        assert np.any(gradient), weight.name


@every_kernel_layer
def test_a_straight_through_gradient_is_nearly_that_of_the_float_layer(cls):
    # Two kernels share the bits of one buffer, so they have fewer each.
    bits, error = (10, 0.03) if len(cls.weight_quantizers) > 1 else (16, 5e-3)
    config = {key: {"bitwidth": bits} for key in cls.weight_quantizers}
    model, x = model_of(cls, {**config, "bias_quantizer": {"bitwidth": 16}})
    layer = model.get_layer("layer")
    twin_class = internal.float_class(cls)
    if cls is layers.QuantizedConv2D:
        twin_class = layers.PaddedConv2D
    twin = twin_class.from_config(
        {k: v for k, v in layer.get_config().items() if k != "quant_config"}
    )
    seen = tf_keras.Model(model.input, model.get_layer("first").output)(x)
    values = seen.to_float()
    twin.build(values.shape)
    for ours, theirs in zip(layer.trainable_weights, twin.weights, strict=True):
        theirs.assign(ours)
    results = []
    for call, weights in (
        (lambda: layer(seen).to_float(), layer.trainable_weights),
        (lambda: twin(values), twin.trainable_weights),
    ):
        with tf.GradientTape() as tape:
            outputs = call()
            loss = tf.reduce_sum(outputs**2)
        results.append((outputs, *tape.gradient(loss, weights)))
    for ours, theirs in zip(*results, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=error)


@every_kernel_layer
def test_what_a_layer_cannot_do_is_refused_by_name(cls):
    arguments, _ = KERNEL_LAYERS[cls]
    cases = {
        'activation="relu"': {"activation": "relu"},
        "channels_first": {"data_format": "channels_first"},
        'Did you mean "output_quantizer"': {"quant_config": {"output_quantiser": {}}},
        'Did you mean "bitwidth"': {
            "quant_config": {"output_quantizer": {"bitwith": 8}}
        },
        "buffer_bitwidth='wide'": {"quant_config": {"buffer_bitwidth": "wide"}},
        "is 8, not a dictionary": {"quant_config": {"bias_quantizer": 8}},
        "dtype='float16'": {"dtype": "float16"},
    }
    if cls is layers.QuantizedDense:
        del cases["channels_first"]
    for text, wrong in cases.items():
        with pytest.raises(ValueError) as caught:
            cls(**{**arguments, **wrong}, name="here")
        assert isinstance(caught.value, LarqliteError)
        assert text in str(caught.value)
        assert f'{cls.__name__} "here"' in str(caught.value)
        assert "Fix: " in str(caught.value)


def test_inputs_wider_than_the_buffer_are_refused():
    layer = layers.QuantizedDense(2, quant_config={"buffer_bitwidth": 8})
    with pytest.raises(ValueError, match='"buffer_bitwidth": 9'):
        layer(tf.ones((1, 2)))


@pytest.mark.parametrize(
    ("dtype", "bits"), [("uint8", 8), ("int8", 8), ("int16", 15), ("float32", 8)]
)
def test_plain_tensors_are_integers(dtype, bits):
    x = np.array([[3.9, -2.9, 100, 0]]).astype(dtype)
    fp = layers.QuantizedDense(1).gated(tf.constant(x))
    assert isinstance(fp, QTensor)
    np.testing.assert_array_equal(fp.values, np.trunc(x.astype(np.float64)))
    assert fp.value_bits == bits
    wide = layers.QuantizedDense(1).gated(tf.constant([[1e6, -1e6]]))
    np.testing.assert_array_equal(wide.values, [[255, -256]])


def test_a_global_policy_of_mixed_precision_changes_nothing():
    x = np.array([[1, 2, 3]], np.int32)
    layer = layers.QuantizedDense(2, kernel_initializer="ones")
    expected = layer(x)
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    again = layers.QuantizedDense(2, kernel_initializer="ones")(x)
    tf_keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(again.fp.values, expected.fp.values)
    assert again.scales.dtype == tf.float32


def test_one_step_of_training_lowers_the_loss():
    model, x = model_of(layers.QuantizedDense)
    targets = rng.normal(size=(3, 3)).astype(np.float32)
    model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    losses = model.fit(x, targets, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] * 0.9


@pytest.mark.parametrize(
    "cls",
    [
        # `test_freeze.py` has the others in graphs of constants; fits and predictions
        # of whole networks have them in graphs of variables.
        pytest.param(cls, marks=[] if cls in ONLY_COMPILED_HERE else pytest.mark.slow)
        for cls in KERNEL_LAYERS
    ],
)
def test_a_compiled_model_follows_its_weights_unless_they_are_constants(cls):
    model, x = model_of(cls)
    layer, x = model.get_layer("layer"), tf.constant(x)
    compiled = tf.function(model, input_signature=[spec_of(model.input)])
    compiled(x)
    for weight in layer.trainable_weights:
        weight.assign(weight * 0.5 + 0.1)
    layer.out_quantizer.calibrate(3.0)
    expected = model(x).numpy()
    np.testing.assert_array_equal(compiled(x), expected)
    for holder in (layer, layer.out_quantizer, model.get_layer("first")):
        for name in [w.name.rpartition("/")[2].split(":")[0] for w in holder.weights]:
            if isinstance(getattr(holder, name, None), tf.Variable):
                setattr(holder, name, tf.constant(getattr(holder, name)))
    frozen = tf.function(model, input_signature=[spec_of(model.input)])
    np.testing.assert_array_equal(frozen(x), expected)
    counts = [
        len(f.get_concrete_function().graph.get_operations())
        for f in (compiled, frozen)
    ]
    assert counts[1] < 0.5 * counts[0], counts
