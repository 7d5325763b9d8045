"""Models and files of Keras 3 are taken where those of tf_keras are, with a line that says so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import cli
from tests.from_keras.networks import noise, randomized

K = keras.layers


@pytest.fixture(scope="module")
def theirs():
    """A small network of Keras 3."""
    layers = [
        K.Conv2D(8, 3, activation="relu", name="first"),
        K.Conv2D(8, 3, padding="same", activation="relu", name="inner"),
        K.GlobalAveragePooling2D(name="mean"),
        K.Dense(3, name="last"),
    ]
    return randomized(keras.Sequential([keras.Input((8, 8, 3)), *layers], name="small"))


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    """It, saved by Keras 3."""
    path = tmp_path_factory.mktemp("keras3") / "small.keras"
    theirs.save(path)
    return path


def said(caplog, where: str, what: str = '"small"') -> bool:
    lines = [record.getMessage() for record in caplog.records]
    return (
        sum(f"{where}: {what} is of Keras 3 and came in" in line for line in lines) == 1
    )


def test_a_profile_is_that_of_the_model_that_came_in(theirs, caplog):
    costs = lq.models.profile(theirs)
    assert said(caplog, "lq.models.profile")
    assert costs.to_dict() == lq.models.profile(lq.models.from_keras(theirs)).to_dict()
    lq.models.summary(theirs, print_fn=lambda text: None)
    assert said(caplog, "lq.models.summary")


@pytest.mark.parametrize("name", ["quantize_model", "binarize"])
def test_quantization_aware_training_begins_with_its_weights(theirs, name, caplog):
    quantized = getattr(lq.qat, name)(theirs, calibrate=noise(8, 8, 8, 3))
    assert said(caplog, f"lq.qat.{name}")
    expected = getattr(lq.qat, name)(
        lq.models.from_keras(theirs), calibrate=noise(8, 8, 8, 3)
    )
    x = noise(2, 8, 8, 3)
    np.testing.assert_array_equal(quantized(x), expected(x))
    quantized.compile(tf_keras.optimizers.Adam(), "mse", run_eagerly=True)
    quantized.train_on_batch(x, np.zeros((2, 3), "float32"))


def test_annotations_are_those_of_its_layers(theirs, caplog):
    annotated = lq.qat.quantize_annotate_model(theirs)
    assert said(caplog, "lq.qat.quantize_annotate_model")
    assert "first" in annotated.layers[0].name


def test_an_integer_model_is_made_of_it(theirs, caplog):
    x = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype("float32")
    made = lq.integer.models.quantize(theirs, samples=x)
    assert said(caplog, "lq.integer.quantize")
    expected = lq.integer.models.quantize(lq.models.from_keras(theirs), samples=x)
    np.testing.assert_array_equal(made(x), expected(x))


def test_transforms_give_models_of_tf_keras_whether_they_change_anything_or_not(theirs):
    transforms = lq.integer.models.transforms
    scaled = transforms.insert_rescaling(theirs, 0.5, 0.0)
    for model in (transforms.sanitize(scaled), transforms.sanitize(theirs)):
        assert isinstance(model, tf_keras.Model)
    x = noise(2, 8, 8, 3)
    np.testing.assert_allclose(scaled(2 * x), theirs(x), rtol=1e-5, atol=1e-6)


def test_its_file_is_exported_and_verified(theirs, tmp_path, caplog):
    lq.deploy.export(theirs, tmp_path / "small.onnx")
    assert said(caplog, "lq.deploy.export")
    x = noise(4, 8, 8, 3)
    assert lq.deploy.verify(theirs, tmp_path / "small.onnx", x, stock=False).ok
    assert said(caplog, "lq.deploy.verify")
    made = lq.deploy.to_qonnx(theirs, tmp_path / "small_q.onnx")
    assert {"Conv", "Relu"} <= {node.op_type for node in made.graph.node}
    assert said(caplog, "lq.deploy.to_qonnx")


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_file_is_loaded_with_a_line(theirs, tmp_path, ending, caplog):
    path = tmp_path / f"small.{ending}"
    theirs.save(path)
    loaded = lq.models.load(path)
    assert said(caplog, "lq.models.load", repr(str(path)))
    x = noise(2, 8, 8, 3)
    np.testing.assert_allclose(loaded(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_a_file_cut_short_is_refused_by_name(file, tmp_path):
    content = file.read_bytes()
    (tmp_path / "half.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(lq.errors.UnsupportedModelError, match=r"half\.keras"):
        lq.models.load(tmp_path / "half.keras")


def test_commands_take_its_file(file, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", noise(16, 8, 8, 3))
    for line in (
        f"summary {file}",
        f"export {file} -o small.onnx",
        f"integer quantize -m {file} -o small_integer.keras --data x.npy",
        f"qat {file} -o small.tflite --data x.npy",
    ):
        caplog.clear()
        assert cli.main(line.split()) in (None, 0), capsys.readouterr()
        assert said(caplog, "lq.models.load", repr(str(file))), line
    assert (tmp_path / "small.onnx").is_file()
    assert {"small.tflite", "small_integer.keras"} <= {
        p.name for p in tmp_path.iterdir()
    }


def test_a_model_that_is_subclassed_is_refused_with_the_way_out():
    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(lq.errors.UnsupportedModelError, match=r"(?s)subclassed.*Fix"):
        lq.qat.quantize_model(Mine())


def test_where_only_models_of_tf_keras_go_the_way_is_named(theirs):
    with pytest.raises(
        lq.errors.KerasVersionError, match=r"lq\.models\.from_keras\(mo"
    ):
        lq.plot.weights(theirs)
