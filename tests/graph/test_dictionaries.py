"""Data in a dictionary reach the inputs that Keras gives them to, whoever is asked."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common.eager import quantize

K = tf_keras.layers
RNG = np.random.default_rng(3)
FIRST = RNG.integers(-99, 99, (8, 3)).astype(np.float32)
SECOND = RNG.integers(-99, 99, (8, 4)).astype(np.float32)


def two_inputs(keys):
    """A model of two inputs, "b" and then "a", built with them in a list or under keys."""
    first, second = tf_keras.Input((3,), name="b"), tf_keras.Input((4,), name="a")
    tf_keras.utils.set_random_seed(1)
    y = K.Add(name="sum")(
        [K.Dense(5, name="one")(first), K.Dense(5, name="two")(second)]
    )
    given = dict(zip(keys, [first, second], strict=True)) if keys else [first, second]
    return tf_keras.Model(given, K.Dense(2, name="last")(y))


@pytest.fixture(params=[None, ("b", "a"), ("a", "b"), ("y", "x")], scope="module")
def model_and_data(request):
    """The keys that a model was built with are names of inputs, those of the others, or
    other words; data come by name, or under these keys."""
    keys = request.param
    return two_inputs(keys), dict(zip(keys or ("b", "a"), [FIRST, SECOND], strict=True))


@pytest.fixture(scope="module")
def by_list():
    """Weights, outputs of integers and the report, with inputs and data in lists only."""
    model = two_inputs(None)
    quantized = quantize(model, samples=[FIRST, SECOND])
    report = lq.integer.models.data_report(quantized, [FIRST, SECOND])
    return model.get_weights(), quantized([FIRST, SECOND]), str(report)


def test_functions_of_integer_models(model_and_data, by_list):
    model, data = model_and_data
    weights, outputs, report = by_list
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    quantized = lq.integer.models.quantize(model, samples=data)
    np.testing.assert_array_equal(quantized(data), outputs)
    assert str(lq.integer.models.data_report(quantized, data)) == report
    proto = lq.integer.export.to_onnx(quantized)
    found = lq.integer.export.compare(quantized, proto, data)
    assert found.samples == 8
    assert found.equal_share == 1


def test_verify(model_and_data, tmp_path):
    model, data = model_and_data
    lq.deploy.export(model, tmp_path / "model.onnx")
    result = lq.deploy.verify(model, tmp_path / "model.onnx", data)
    assert result.samples == 8
    assert result.ok


def test_comparisons_with_tflite():
    model, data = two_inputs(("a", "b")), {"a": FIRST, "b": SECOND}
    quantized = lq.qat.quantize_model(model, calibrate=data)
    found = lq.qat.compare_tflite(quantized, lq.qat.to_tflite(quantized), data)
    assert found.examples == 8
    assert found.largest_steps <= 1


@pytest.mark.parametrize("keys", [None, ("b", "a"), ("a", "b"), ("y", "x")])
def test_a_model_that_is_called_with_a_dictionary_inside_another(keys):
    inner = two_inputs(keys)
    x, y = tf_keras.Input((3,)), tf_keras.Input((4,))
    named = dict(zip(keys or ("b", "a"), [x, y], strict=True))
    model = tf_keras.Model([x, y], inner(named))
    flat = lq.integer.models.transforms.flatten_nested(model)
    assert not any(isinstance(layer, tf_keras.Model) for layer in flat.layers)
    wanted = inner(
        tf.nest.map_structure(
            tf.constant, dict(zip(named, [FIRST, SECOND], strict=True))
        )
    )
    np.testing.assert_array_equal(flat([FIRST, SECOND]), wanted)
