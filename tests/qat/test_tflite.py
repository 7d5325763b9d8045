"""Files of TFLite hold what quantization-aware models compute, as integers."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.qat.tflite.internal import read_file
from tests.common.eager import quantize_apply, quantize_model
from tests.common.samples import sampled
from tests.qat.tflite_models import (
    ALONE,
    PATTERNS,
    L,
    data_for,
    float_count,
    net,
    plainly_converted,
    run,
    step_of,
    tensors,
)

NETWORKS = {**ALONE, **PATTERNS}
# Where what goes in is a step off now and then, and a step there is more than one here.
STEPS = {"Conv2D sigmoid": 3, "Add, ReLU": 3}
plain = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")


def calibrated(network, scheme="int8", **options):
    model = network()
    data = data_for(model)
    return quantize_model(model, scheme=scheme, calibrate=data, **options), data


def assert_equal_but_for_rounding(model, content, data, steps=2.0):
    outputs, _ = run(content, data)
    expected = model(data, training=False).numpy()
    assert np.abs(outputs - expected).max() <= (steps + 0.01) * step_of(content)


@pytest.mark.parametrize("name", sampled(NETWORKS, 4))
def test_only_the_ends_of_a_file_are_float(name):
    model, data = calibrated(NETWORKS[name])
    content = qat.to_tflite(model)
    assert float_count(content) == 2
    assert content.float_layers == ()
    assert_equal_but_for_rounding(model, content, data, STEPS.get(name, 2))


@plain
@pytest.mark.parametrize(
    "name",
    ["dilated, normalization, relu", "transposed, normalization, ReLU"],
)
def test_the_converter_alone_makes_integers_of_it_too(name):
    model, data = calibrated(NETWORKS[name])
    content = plainly_converted(model)
    assert float_count(content) == 2
    assert_equal_but_for_rounding(model, content, data)


@plain
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_converter_alone_makes_integers_of_every_layer(name):
    model, data = calibrated(NETWORKS[name])
    content = plainly_converted(model)
    assert float_count(content) == 2
    assert_equal_but_for_rounding(model, content, data, STEPS.get(name, 2))


def test_a_single_dense_layer_stays_a_fully_connected_operation():
    model, _ = calibrated(ALONE["Dense"])
    operations = read_file(qat.to_tflite(model), "here").operations
    assert [o.name for o in operations] == [
        "QUANTIZE",
        "FULLY_CONNECTED",
        "DEQUANTIZE",
    ]


@pytest.mark.parametrize("name", ["Dense, normalization, ReLU", "Concatenate"])
def test_with_int8_inputs_no_tensor_is_float(name):
    model, data = calibrated(PATTERNS[name])
    content = qat.to_tflite(model, inputs="int8")
    assert float_count(content) == 0
    outputs, step = run(content, data)
    expected = model(data, training=False).numpy()
    assert np.abs(outputs - expected).max() <= 2.01 * step


@pytest.mark.parametrize(
    "bits", [2, 7, *(pytest.param(b, marks=pytest.mark.slow) for b in (3, 4, 5, 6))]
)
def test_a_narrow_kernel_has_the_same_values_on_codes_of_8_bits(bits):
    network = PATTERNS["Conv2D, normalization, ReLU"]
    scheme = qat.DefaultNBitQuantizeScheme(num_bits_weight=bits)
    model, data = calibrated(network, scheme, calibration="minmax")
    content = qat.to_tflite(model)
    assert f"weights of {bits} bits are stored in 8" in "".join(content.notes)
    assert float_count(content) == 2
    # By hand: the largest magnitude of each filter is the last of 2^(bits - 1) - 1 levels.
    kernel = model.get_layer("quant_conv2d").layer.kernel.numpy()
    levels = 2 ** (bits - 1) - 1
    codes = np.round(kernel / (np.abs(kernel).max((0, 1, 2)) / levels))
    assert len(np.unique(codes)) <= 2 * levels + 1
    (stored,) = _kernels(content, (6, 3, 3, 3))
    np.testing.assert_array_equal(stored, np.moveaxis(codes, -1, 0) * (127 // levels))
    assert_equal_but_for_rounding(model, content, data, steps=1)


def _kernels(content, shape):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    return [
        interpreter.get_tensor(tensor["index"])
        for tensor in interpreter.get_tensor_details()
        if tuple(tensor["shape"]) == shape and tensor["dtype"] == np.int8
    ]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("Dense, normalization, ReLU", "int4"),
        ("Add, ReLU", "int2"),
        ("Conv2D, ReLU, pooling, Dense", "int7"),
        *(
            pytest.param(name, scheme, marks=pytest.mark.slow)
            for name, scheme in (
                ("Dense, normalization, ReLU", "int2"),
                ("Dense, normalization, ReLU", "int7"),
                ("Add, ReLU", "int4"),
                ("Add, ReLU", "int7"),
                ("Conv2D, ReLU, pooling, Dense", "int2"),
                ("Conv2D, ReLU, pooling, Dense", "int4"),
            )
        ),
    ],
)
def test_networks_of_few_bits_are_integers_with_as_few_levels(name, scheme):
    model, data = calibrated(PATTERNS[name], scheme)
    content = qat.to_tflite(model)
    assert float_count(content) == 2
    outputs, _ = run(content, data)
    assert len(np.unique(outputs)) <= 2 ** int(scheme[3:])
    found = qat.compare_tflite(model, content, data)
    assert found.largest_steps < STEPS.get(name, 1) + 0.01
    # Sums have few values here: one that lies between two levels counts often.
    assert found.share_off < 0.05


def test_levels_of_one_bit_are_two():
    model, data = calibrated(ALONE["Dense"], "int1")
    outputs, _ = run(qat.to_tflite(model), data)
    assert len(np.unique(outputs)) == 2
    np.testing.assert_allclose(outputs, model(data, training=False).numpy(), rtol=1e-5)


def test_a_layer_that_is_called_twice_keeps_its_kernel_in_both():
    inputs = tf_keras.Input((6,))
    shared = L.Dense(6)
    float_model = tf_keras.Model(inputs, shared(shared(inputs)))
    data = data_for(float_model, 200)
    model = quantize_model(float_model, calibrate=data)
    content = qat.to_tflite(model)
    assert qat.compare_tflite(model, content, data).share_off < 0.01


def test_a_float_layer_between_quantized_ones_stays_float():
    float_model = net(
        (8, 8, 3),
        L.Conv2D(8, 3, padding="same"),
        L.ReLU(),
        L.Conv2D(8, 3, padding="same", name="kept"),
        L.ReLU(),
        L.Flatten(),
        L.Dense(5),
    )
    data = data_for(float_model)
    model = quantize_apply(float_model, {"kept": "float", "*": "int8"}, calibrate=data)
    content = qat.to_tflite(model)
    assert content.float_layers == ("kept",)
    assert any("kept" in note for note in content.notes)
    shapes = [tuple(t["shape"]) for t in tensors(content) if t["dtype"] == np.float32]
    assert (8, 3, 3, 8) in shapes
    assert_equal_but_for_rounding(model, content, data, steps=1)


def test_binary_layers_inside_of_integers_compute_the_same():
    float_model = net(
        (8, 8, 3),
        L.Conv2D(8, 3, padding="same"),
        L.BatchNormalization(),
        L.ReLU(),
        L.Conv2D(8, 3, padding="same", use_bias=False, name="inner"),
        L.BatchNormalization(),
        L.Flatten(),
        L.Dense(5),
    )
    data = data_for(float_model)
    model = quantize_apply(
        float_model, {"inner": "binary", "*": "int8"}, calibrate=data
    )
    assert isinstance(model.get_layer("quant_inner"), lq.layers.QuantConv2D)
    content = qat.to_tflite(model)
    assert_equal_but_for_rounding(model, content, data)


def test_a_model_of_mixed_precision_is_converted_in_float32():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        float_model = net((8, 8, 3), L.Conv2D(4, 3), L.ReLU(), L.Flatten(), L.Dense(3))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    data = data_for(float_model)
    model = quantize_model(float_model, calibrate=data)
    content = qat.to_tflite(model)
    assert any("float32, not float16" in note for note in content.notes)
    assert float_count(content) == 2
    assert model.get_layer("quant_conv2d").compute_dtype == "float16"
    assert_equal_but_for_rounding(model, content, data)


def test_a_recurrent_layer_is_unrolled():
    float_model = net((5, 3), L.LSTM(4), L.Dense(2))
    data = data_for(float_model)
    model = quantize_model(float_model, calibrate=data)
    content = qat.to_tflite(model)
    assert any("5 steps are unrolled" in note for note in content.notes)
    assert content.float_layers == ("quant_lstm",)
    assert_equal_but_for_rounding(model, content, data)


def test_a_normalization_on_its_own_is_integer():
    float_model = net(
        (8, 8, 3), L.Conv2D(4, 3, activation="relu"), L.BatchNormalization()
    )
    data = data_for(float_model)
    model = quantize_model(float_model, calibrate=data)
    content = qat.to_tflite(model)
    assert float_count(content) == 2
    assert_equal_but_for_rounding(model, content, data)


def test_the_model_handed_in_and_its_outputs_stay_as_they_are(tmp_path):
    model, data = calibrated(PATTERNS["separable 2D, normalization, ReLU"])
    before = (
        [w.copy() for w in model.get_weights()],
        model(data, training=False).numpy(),
    )
    content = qat.to_tflite(model, tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]
    for old, new in zip(before[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(before[1], model(data, training=False).numpy())
