"""Checks and reports: what accumulators need, against the worst input; what saturates."""

import dataclasses
import importlib
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, MissingFileError
from tests.common.eager import quantize
from tests.integer import networks

layers = tf_keras.layers
models = lq.integer.models
RNG = np.random.default_rng(3)


def dense(inputs, outputs=3, **config):
    layer = layers.Dense(outputs, input_shape=(inputs,), name="fc")
    return quantize(
        tf_keras.Sequential([layer]),
        q_config={"fc": config} if config else None,
        samples=RNG.integers(0, 255, (8, inputs)),
    )


def test_the_bits_that_an_accumulator_needs_are_those_of_the_worst_input():
    model = dense(40)
    model.get_layer("fc").bias.assign([0.5, -1.0, 0.25])
    row = models.data_report(model, np.zeros((1, 40)))["fc"]
    fc = model.get_layer("fc")
    models.record_quantization_variables(model)
    codes = fc.weight_quantizer.qweights.value.fp.values.numpy().astype(np.int64)
    bias = fc.bias_quantizer.qweights.value.fp.values.numpy().astype(np.int64)
    worst = 0
    for column in range(3):
        for sign in (1, -1):
            inputs = np.where(codes[:, column] * sign > 0, 256, -256)
            total = int(inputs @ codes[:, column]) + abs(bias[column]) * sign
            worst = max(worst, abs(int(total)))
    assert row.needed_bits == worst.bit_length() + 1
    assert row.fits
    assert row.weight_bits == {"weight_quantizer": 8}


def test_a_sum_over_an_image_needs_the_bits_of_the_sums_before_it_and_of_its_terms():
    chain = [
        layers.Conv2D(2, 3, use_bias=False, input_shape=(6, 6, 3), name="conv"),
        layers.ReLU(name="relu"),
        layers.MaxPooling2D(2, 1),
        layers.GlobalAveragePooling2D(name="mean"),
    ]
    model = quantize(
        tf_keras.Sequential(chain), samples=RNG.integers(0, 9, (2, 6, 6, 3))
    )
    report = models.data_report(model, np.zeros((1, 6, 6, 3)))
    models.record_quantization_variables(model)
    kernel = model.get_layer("conv").weight_quantizer.qweights.value.fp.values.numpy()
    largest = int(np.abs(kernel).sum((0, 1, 2)).max()) * 256
    assert report["conv"].needed_bits == largest.bit_length() + 1
    assert report["mean"].needed_bits == (largest * 3 * 3).bit_length() + 1
    assert report["mean"].fits


def test_saturated_accumulators_are_counted():
    model = dense(64, buffer_bitwidth=16, weight_quantizer={"bitwidth": 8})
    model.get_layer("fc").kernel.assign(np.ones((64, 3)))
    model.get_layer("fc").bias.assign(np.zeros(3))
    inputs = np.concatenate([np.full((2, 64), 255), np.ones((3, 64))])
    row = models.data_report(model, inputs)["fc"]
    assert not row.fits
    assert (row.saturated, row.values) == (2 * 3, 5 * 3)
    assert 64 * 255 * 127 > 2**15 - 1 > 64 * 127


def test_outputs_beyond_the_calibrated_range_are_counted_as_clipped():
    model = tf_keras.Sequential(
        [layers.Dense(1, input_shape=(1,), name="a", use_bias=False), layers.Dense(1)]
    )
    model.layers[0].kernel.assign([[1.0]])
    integers = quantize(model, samples=np.array([[10], [9], [-10], [3]]))
    row = models.data_report(integers, np.array([[1], [9], [100], [200]]))["a"]
    assert row.clipped == 2


def test_layers_of_a_model_inside_are_reported():
    x = tf_keras.Input((4,))
    inner = quantize(tf_keras.Model(x, tf_keras.layers.Dense(3, name="fc")(x)))
    inner = tf_keras.Model(inner.input, inner.get_layer("fc").output, name="inside")
    model = tf_keras.Sequential([tf_keras.Input((4,)), inner])
    samples = np.ones((2, 4), np.float32)
    alone = lq.integer.models.data_report(inner, samples)["fc"]
    report = lq.integer.models.data_report(model, samples)["inside/fc"]
    assert dataclasses.replace(report, name="fc") == alone
    assert report.values == 6


def test_a_softmax_that_other_layers_read_is_no_end_inside_a_model_either():
    def softmax(x):
        return tf_keras.Sequential([tf_keras.layers.Softmax()], name="inside")(x)

    x = tf_keras.Input((4,))
    softmax_last = tf_keras.Model(x, softmax(x))
    assert lq.integer.models.check_quantization(softmax_last) == []
    softmax_first = tf_keras.Model(x, tf_keras.layers.Softmax(name="out")(softmax(x)))
    (issue,) = lq.integer.models.check_quantization(softmax_first)
    assert issue.startswith("1 layers compute in float: inside/softmax")


def test_the_report_prints_a_table():
    text = str(models.data_report(dense(4), num_samples=2))
    assert "needed bits" in text
    assert "QuantizedDense" in text


def test_a_model_without_calibration_is_reported():
    model = tf_keras.Sequential(
        [layers.Dense(2, input_shape=(3,), name="a"), layers.Dense(2)]
    )
    integers = quantize(model, samples=np.arange(12).reshape(4, 3))
    assert models.check_quantization(integers) == []
    integers.get_layer("a").out_quantizer.reset()
    assert models.check_quantization(integers) == [
        "a/output_quantizer is not calibrated."
    ]


def test_an_output_that_needs_the_highest_bits_of_the_buffer_is_reported():
    model = tf_keras.Sequential(
        [layers.Dense(2, input_shape=(3,), name="a"), layers.Dense(2)]
    )
    integers = quantize(model, samples=np.arange(12).reshape(4, 3))
    integers.get_layer("a").out_quantizer.calibrate(1e5)
    (issue,) = models.check_quantization(integers)
    assert issue.startswith("Possible saturation detected in a")


def test_coarse_scales_are_reported():
    quantizer = {"bitwidth": 8, "axis": "per-tensor", "scale_bits": 1}
    first = layers.Dense(2, input_shape=(3,), name="a")
    model = tf_keras.Sequential([first, layers.Dense(2)])
    first.kernel.assign(RNG.normal(size=(3, 2)) * [1.0, 1.4])
    integers = quantize(
        model,
        q_config={"a": {"output_quantizer": quantizer}},
        samples=np.arange(12).reshape(4, 3),
    )
    (issue,) = models.check_quantization(integers)
    assert issue.startswith("Scales quantization relative error is high in a")


def test_scales_behind_a_rescaling_are_not_reported():
    stack = [
        layers.Rescaling(1 / 255, input_shape=(4, 4, 3)),
        layers.Conv2D(4, 3, activation="swish", name="a"),
        layers.Flatten(),
        layers.Dense(2),
    ]
    images = RNG.integers(0, 256, (16, 4, 4, 3))
    integers = quantize(tf_keras.Sequential(stack), samples=images)
    assert integers.get_layer("a").out_quantizer is not None
    assert models.check_quantization(integers) == []


def test_weights_are_applied_by_name_and_unknown_names_are_told():
    model = dense(2)
    names = [variable.name for variable in model.variables]
    kernel = next(name for name in names if "kernel" in name)
    with pytest.warns(UserWarning, match="no variables named.*kernl"):
        models.apply_weights_to_model(
            model, {kernel: np.ones((2, 3)), kernel.replace("kernel", "kernl"): 1}
        )
    assert model.get_layer("fc").kernel.numpy().tolist() == np.ones((2, 3)).tolist()


def test_weights_of_a_wrong_shape_change_nothing():
    model = dense(2)
    before = model.get_weights()
    names = {v.name: np.zeros(v.shape) for v in model.get_layer("fc").weights}
    wrong = {**names, next(reversed(names)): np.zeros((7,))}
    with pytest.raises(ArgumentError, match="nothing was assigned"):
        models.apply_weights_to_model(model, wrong)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_missing_file_is_named():
    with pytest.raises(MissingFileError, match=r"there is no 'nowhere\.keras'"):
        models.load_model("nowhere.keras")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_files_bring_the_same_integers(tmp_path, suffix):
    images = networks.random_images(8, (10, 10, 3))
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    integers = quantize(model, samples=images)
    path = tmp_path / f"model.{suffix}"
    integers.save(path)
    loaded = models.load_model(path, compile_model=False)
    np.testing.assert_array_equal(loaded(images), integers(images))
    assert not models.calibration_required(loaded)


def test_parameters_are_read_only_and_scoped():
    params = models.QuantizationParams(weight_bits=4)
    assert params == models.QuantizationParams(weight_bits=4)
    with pytest.raises(AttributeError):
        params.weight_bits = 8
    with models.quantization(params):
        assert models.get_quantization_params() is params
        layer = lq.integer.layers.QuantizedDense(2)
        assert layer.weight_quantizer.bitwidth == 4
    assert models.get_quantization_params() == models.QuantizationParams()
    with pytest.raises(ArgumentError, match="weight_bits is 0"):
        models.QuantizationParams(weight_bits=0)
    with pytest.raises(TypeError, match="activation_bits"):
        models.QuantizationParams(activation_bits=8.0)


def test_gradients_reach_every_trainable_weight():
    images = networks.random_images(4, (10, 10, 3))
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    integers = quantize(model, samples=images)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(integers(images, training=True) ** 2)
    for variable, gradient in zip(
        integers.trainable_variables,
        tape.gradient(loss, integers.trainable_variables),
        strict=True,
    ):
        assert gradient is not None, variable.name
        assert np.any(gradient.numpy() != 0), variable.name


def test_parameters_that_an_earlier_version_pickled_load():
    params = models.QuantizationParams(weight_bits=4)
    data = pickle.dumps(params, protocol=0).decode()
    module = type(params).__module__
    assert module in data
    # Where the class was then.
    earlier = data.replace(module, "larqlite.integer.models._params")
    assert pickle.loads(earlier.encode()) == params


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (models.IntegerLayerReport, models.LayerReport),
        (lq.integer.export.IntegerLayerComparison, lq.integer.export.LayerComparison),
        (lq.integer.layers.IntegerQuantizer, lq.integer.layers.Quantizer),
    ],
)
def test_classes_are_still_found_under_their_first_name(new, old):
    assert new is old
    # Pickles name the module and the class.
    module = importlib.import_module(new.__module__)
    assert getattr(module, new.__name__.removeprefix("Integer")) is new


def test_files_call_the_base_of_quantizers_what_they_always_did():
    data = tf_keras.saving.serialize_keras_object(lq.integer.layers.IntegerQuantizer(5))
    assert data["registered_name"] == "larqlite.integer>Quantizer"
    earlier = {**data, "class_name": "Quantizer"}
    assert tf_keras.saving.deserialize_keras_object(earlier).bitwidth == 5
