"""What the integer exports refuse, and how they say it."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import (
    ArgumentError,
    MissingFileError,
    UnsupportedLayerError,
    UnsupportedModelError,
)
from larqlite.integer.export import compare, to_onnx, to_qdq, to_tflite

EXPORTS = [(to_onnx, ".onnx"), (to_qdq, ".onnx"), (to_tflite, ".tflite")]
SAMPLES = np.arange(24).reshape(8, 3)


def float_model():
    return tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,), name="fc")])


@pytest.fixture(scope="module")
def model():
    return lq.integer.models.quantize(float_model(), samples=SAMPLES)


@pytest.mark.parametrize(("export", "suffix"), EXPORTS)
def test_a_float_model_is_refused(export, suffix):
    with pytest.raises(UnsupportedModelError, match=r"float model.*\n.*quantize"):
        export(float_model())


@pytest.mark.parametrize(("export", "suffix"), EXPORTS)
def test_a_model_that_is_not_calibrated_is_refused(export, suffix):
    inputs = tf_keras.Input((3,))
    config = {"output_quantizer": {"bitwidth": 8}}
    layer = lq.integer.layers.QuantizedDense(2, quant_config=config, name="open")
    with pytest.raises(UnsupportedModelError, match=r"not calibrated.*open.*\n.*calib"):
        export(tf_keras.Model(inputs, lq.integer.layers.Dequantizer()(layer(inputs))))


@pytest.mark.parametrize(("export", "suffix"), EXPORTS)
def test_paths_are_checked_first(export, suffix, model, tmp_path):
    with pytest.raises(ArgumentError, match=rf'model.bin" does not end in {suffix}'):
        export(model, tmp_path / "model.bin")
    with pytest.raises(MissingFileError, match="no_folder"):
        export(model, tmp_path / "no_folder" / f"model{suffix}")
    with pytest.raises(ArgumentError, match="input_dtype='uint16'"):
        export(model, input_dtype="uint16")
    assert not list(tmp_path.iterdir())


def test_a_layer_without_such_a_form_is_refused_by_name():
    inputs = tf_keras.Input((4, 4, 2))
    x = lq.integer.layers.QuantizedSeparableConv2D(2, 3, name="middle")(inputs)
    model = tf_keras.Model(inputs, lq.integer.layers.Dequantizer()(x))
    for export in (to_qdq, to_tflite):
        with pytest.raises(UnsupportedLayerError, match=r'"middle".*\n.*to_onnx'):
            export(model)


def test_an_integer_layer_of_ones_own_is_refused_by_name():
    class Own(lq.integer.layers.QuantizedReLU):
        pass

    inputs = tf_keras.Input((4, 4, 2))
    x = Own(None, name="mine")(inputs)
    model = tf_keras.Model(inputs, lq.integer.layers.Dequantizer()(x))
    with pytest.raises(UnsupportedLayerError, match='Own "mine"'):
        to_onnx(model)


def test_compare_names_what_it_is_given_wrongly(model, tmp_path):
    proto = to_onnx(model)
    with pytest.raises(ArgumentError, match=r"\(8, 4\)|shape"):
        compare(model, proto, np.zeros((8, 4)))
    with pytest.raises(ArgumentError, match="no samples"):
        compare(model, proto, np.zeros((0, 3)))
    with pytest.raises(MissingFileError, match=r"none\.onnx"):
        compare(model, tmp_path / "none.onnx", SAMPLES)
    with pytest.raises(ArgumentError, match="int is no export"):
        compare(model, 3, SAMPLES)
    with pytest.raises(UnsupportedModelError, match="float model"):
        compare(float_model(), proto, SAMPLES)


def test_compare_names_the_first_layer_that_differs(model):
    import onnx

    proto = to_onnx(model)
    kernel = next(i for i in proto.graph.initializer if "kernel" in i.name)
    array = onnx.numpy_helper.to_array(kernel).copy()
    array[0, 0] -= 1
    kernel.CopyFrom(onnx.numpy_helper.from_array(array, kernel.name))
    result = compare(model, proto, SAMPLES)
    assert result.first_diverging == "fc"
    assert not result.is_exact
    assert result.layers[0].largest_difference == SAMPLES[:, 0].max()
    assert "First layer that differs: fc" in str(result)


def test_files_are_written_and_compared_by_path(model, tmp_path):
    for export, suffix in EXPORTS:
        path = tmp_path / f"{export.__name__}{suffix}"
        export(model, path, **({"samples": SAMPLES} if suffix == ".tflite" else {}))
        result = compare(model, path, SAMPLES)
        assert result.label_agreement == 1
        assert result.equal_share > 0.9
