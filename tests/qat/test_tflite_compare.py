"""The comparison of a model with its TFLite file finds where they part."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tf_keras

from larqlite import qat
from larqlite.errors import ArgumentError, MissingFileError
from tests.common.eager import quantize_model
from tests.qat.tflite_models import L, data_for, net, run


@pytest.fixture(scope="module")
def converted_once():
    tf_keras.backend.reset_uids()
    tf_keras.utils.set_random_seed(20260101)
    float_model = net(
        (8, 8, 3),
        L.Conv2D(6, 3, padding="same", activation="relu", name="first"),
        L.Conv2D(6, 3, padding="same", activation="relu", name="second"),
        L.Flatten(),
        L.Dense(4, name="last"),
    )
    data = data_for(float_model)
    model = quantize_model(float_model, calibrate=data)
    return model, qat.to_tflite(model), data


@pytest.fixture
def converted(converted_once):
    """The model, its file and data; what a test changes of the model is taken back."""
    kept = converted_once[0].get_weights()
    yield converted_once
    converted_once[0].set_weights(kept)


def test_its_figures_are_those_of_the_interpreter(converted):
    model, content, data = converted
    found = qat.compare_tflite(model, content, data, batch_size=24)
    outputs, _ = run(content, data)
    expected = model(data, training=False).numpy()
    assert found.examples == 64
    assert found.label_agreement == np.mean(outputs.argmax(-1) == expected.argmax(-1))
    largest = np.abs(outputs - expected).max()
    np.testing.assert_allclose(found.largest_difference, largest, atol=1e-5)
    np.testing.assert_allclose(found.largest_steps, largest / found.step, atol=1e-3)
    assert found.first_departing is None


def test_every_quantized_layer_is_found_in_the_file(converted):
    model, content, data = converted
    found = qat.compare_tflite(model, content, data)
    assert [row.layer for row in found.layers] == [
        "quantize_layer",
        "quant_first",
        "quant_second",
        "quant_last",
    ]
    assert found.unmatched == ()
    assert found.layers[0].largest_steps < 0.01


@pytest.mark.parametrize("name", ["first", "second", "last"])
def test_a_layer_whose_kernel_was_changed_is_the_first_to_depart(converted, name):
    model, content, data = converted
    kernel = model.get_layer(f"quant_{name}").layer.kernel
    kernel.assign(-kernel)
    found = qat.compare_tflite(model, content, data)
    assert found.first_departing == f"quant_{name}"


def test_a_layer_whose_range_was_changed_is_the_first_to_depart(converted):
    model, content, data = converted
    for variable in model.get_layer("quant_second").weights:
        if "post_activation_max" in variable.name:
            variable.assign(variable / 3)
    found = qat.compare_tflite(model, content, data)
    assert found.first_departing == "quant_second"


def test_it_prints_a_table_and_speaks_json(converted):
    model, content, data = converted
    found = qat.compare_tflite(model, content, data)
    lines = []
    found.print(lines.append)
    assert "quant_second" in lines[0]
    assert "Labels that agree: 100.00% of 64" in lines[0]
    assert (
        json.loads(json.dumps(found.to_dict()))["layers"][1]["layer"] == "quant_first"
    )


def test_several_inputs_and_outputs_are_matched_by_name():
    inputs = [tf_keras.Input((4,), name="zeta"), tf_keras.Input((4,), name="alpha")]
    outputs = [
        L.Dense(3, name="p")(inputs[0]),
        L.Dense(2, name="b")(L.Concatenate()(inputs)),
    ]
    rng = np.random.default_rng(0)
    data = [(s * rng.normal(size=(32, 4))).astype("float32") for s in (1, 5)]
    model = quantize_model(tf_keras.Model(inputs, outputs), calibrate=data)
    found = qat.compare_tflite(model, qat.to_tflite(model), data)
    assert found.largest_steps < 1.01
    assert found.label_agreement == 1.0


def test_a_file_and_data_that_are_none_are_refused(converted, tmp_path):
    model, content, data = converted
    with pytest.raises(MissingFileError, match=r"no file.*gone.tflite"):
        qat.compare_tflite(model, tmp_path / "gone.tflite", data)
    with pytest.raises(ArgumentError, match="no content of a TFLite file"):
        qat.compare_tflite(model, b"something else", data)
    with pytest.raises(ArgumentError, match="no batch"):
        qat.compare_tflite(model, content, [])


@pytest.mark.slow
def test_without_ai_edge_litert_the_interpreter_of_tensorflow_runs_files(run_python):
    printed = run_python(
        """
        import importlib.util, sys, warnings
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: (
            None if name == "ai_edge_litert" else find(name, *rest)
        )
        import numpy as np, tf_keras, larqlite as lq
        warnings.simplefilter("error")
        model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
        data = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        model = lq.qat.quantize_model(model, calibrate=data)
        found = lq.qat.compare_tflite(model, lq.qat.to_tflite(model), data)
        print(found.largest_steps < 1.01, "ai_edge_litert" in sys.modules)
        """
    )
    assert printed.split() == ["True", "False"]
