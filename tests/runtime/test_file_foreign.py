"""Files of other kinds: each is called what it is, with what runs it."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime as rt
from larqlite_runtime import ModelFileError

SAMPLES = np.arange(24).reshape(8, 3).astype("float32")


def float_model():
    return tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])


def binary_model():
    settings = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    layers = [tf_keras.Input((32,)), lq.layers.QuantDense(32, **settings)]
    return tf_keras.Sequential(layers)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign")
    model = float_model()
    integers = lq.integer.models.quantize(model, samples=SAMPLES)
    lq.integer.export.to_onnx(integers, path / "integers.onnx")
    lq.integer.export.to_qdq(integers, path / "qdq.onnx")
    lq.integer.export.to_tflite(integers, path / "model.tflite", samples=SAMPLES)
    lq.deploy.to_qonnx(binary_model(), path / "qonnx.onnx")
    lq.deploy.export(model, path / "float.onnx")
    float_onnx = onnx.load(path / "float.onnx")
    quantized = lq.integer.models.quantize(float_onnx, samples=SAMPLES)
    (path / "from_onnx.onnx").write_bytes(quantized.SerializeToString())
    float_onnx.opset_import[0].version = 21
    (path / "newer.onnx").write_bytes(float_onnx.SerializeToString())
    model.save(path / "model.keras")
    model.save(path / "model.h5")
    model.save(path / "saved", save_format="tf")
    np.savez(path / "images.npz", x=SAMPLES)
    return path


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("integers.onnx", "integer operations", "onnxruntime.InferenceSession"),
        ("from_onnx.onnx", "integer operations", "onnxruntime.InferenceSession"),
        ("qdq.onnx", "to_qdq", "onnxruntime.InferenceSession"),
        ("qonnx.onnx", "a QONNX model", "lq.deploy.export"),
        ("model.tflite", "TensorFlow Lite", "ai-edge-litert"),
        ("model.keras", r"\(.keras\)", "lq.deploy.export"),
        ("model.h5", r"\(.h5\)", "lq.deploy.export"),
        ("saved", "SavedModel", "lq.deploy.export"),
        ("images.npz", r"\(.npz\)", "--data"),
        ("newer.onnx", "version 21", "onnxruntime"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(folder, name, what, fix):
    with pytest.raises(ModelFileError, match=rf"(?s){what}.*Fix: .*{fix}"):
        rt.load(folder / name)
    if (folder / name).is_file():
        with pytest.raises(ModelFileError, match=rf"(?s){what}.*Fix: .*{fix}"):
            rt.load((folder / name).read_bytes())


@pytest.mark.parametrize("name", ["integers.onnx", "from_onnx.onnx", "qdq.onnx"])
def test_what_the_message_says_runs_the_file(folder, name):
    session = onnxruntime.InferenceSession(str(folder / name))
    (found,) = session.run(None, {session.get_inputs()[0].name: SAMPLES})
    assert found.shape == (8, 2)


@pytest.mark.parametrize(
    "command", ["run", pytest.param("benchmark", marks=pytest.mark.slow)]
)
def test_commands_say_so_too(folder, command):
    file, data = str(folder / "integers.onnx"), str(folder / "images.npz")
    more = ["--data", data] if command == "run" else []
    done = subprocess.run(
        [sys.executable, "-m", "larqlite_runtime", command, file, *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "integer operations (lq.integer)" in done.stderr
    assert "onnxruntime.InferenceSession" in done.stderr
