"""Models saved by Larq 0.14.0 (see tests/fixtures) load and predict the same."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.common.samples import in_turn

FOLDER = Path(__file__).parents[1] / "fixtures" / "larq_0.14.0"
EXPECTED = np.load(FOLDER / "expected.npz")
KERAS_FILES = sorted(path.name for path in FOLDER.glob("*.keras"))
H5_FILES = sorted(zipfile.ZipFile(FOLDER / "h5.zip").namelist())
SAVED_MODELS = sorted(path.name for path in FOLDER.glob("*_savedmodel.zip"))


def test_every_model_is_there_in_both_formats():
    assert [name.replace(".h5", ".keras") for name in H5_FILES] == KERAS_FILES


def fixture(name, tmp_path) -> Path:
    if name.endswith(".keras"):
        return FOLDER / name
    archive = FOLDER / ("h5.zip" if name.endswith(".h5") else name)
    with zipfile.ZipFile(archive) as opened:
        if name.endswith(".h5"):
            return Path(opened.extract(name, tmp_path))
        opened.extractall(tmp_path / "saved")
    return next((tmp_path / "saved").rglob("saved_model.pb")).parent


def arrays(model_name, kind):
    keys = (f"{model_name}/{kind}{i}" for i in range(20))
    return [EXPECTED[key] for key in keys if key in EXPECTED]


@pytest.mark.parametrize(
    ("stem", "ending"),
    [
        *in_turn([Path(name).stem for name in H5_FILES], [".keras", ".h5"]),
        *((Path(name).stem, ".zip") for name in SAVED_MODELS),
    ],
)
def test_a_model_saved_by_larq_predicts_the_same(stem, ending, tmp_path):
    name = stem + ending
    model = lq.models.load(fixture(name, tmp_path))
    model_name = Path(name).stem.removesuffix("_savedmodel")
    x = arrays(model_name, "x")
    outputs = model(x[0] if len(x) == 1 else x, training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    expected = arrays(model_name, "y")
    tolerance = 1e-2 if model_name == "mixed_precision" else 1e-6
    assert len(outputs) == len(expected) > 0
    for output, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, wanted, rtol=tolerance, atol=tolerance)
    ours = [
        layer for layer in model.submodules if isinstance(layer, lq.layers.QuantLayer)
    ]
    quantizer_layers = [
        layer
        for layer in model.submodules
        if isinstance(layer, lq.quantizers.Quantizer)
    ]
    assert ours or quantizer_layers


@pytest.mark.parametrize("name", ["adam.keras", "adam.h5"])
def test_training_goes_on_as_larqs_own_would(name, tmp_path):
    model = lq.models.load(fixture(name, tmp_path))
    x, y = EXPECTED["adam/train_x"], EXPECTED["adam/train_y"]
    losses = [model.train_on_batch(x, y) for _ in EXPECTED["adam/losses"]]
    np.testing.assert_allclose(losses, EXPECTED["adam/losses"], rtol=1e-5)


def test_larqs_case_optimizer_is_left_out_with_a_warning(tmp_path, caplog):
    model = lq.models.load(fixture("case_bop.h5", tmp_path))
    assert "lq.optimizers.CaseOptimizer" in caplog.text
    assert model.optimizer is None


def test_beside_a_library_that_took_the_names_first_it_still_loads(run_fork):
    path = FOLDER / "layers_2d.keras"
    printed = run_fork(
        f"""
        import tf_keras
        class QuantConv2D(tf_keras.layers.Layer): pass
        tf_keras.saving.get_custom_objects()["QuantConv2D"] = QuantConv2D
        import larqlite as lq
        assert tf_keras.saving.get_registered_object("QuantConv2D") is QuantConv2D
        model = lq.models.load({str(path)!r})
        print(sum(isinstance(layer, lq.layers.QuantConv2D) for layer in model.layers))
        """
    )
    assert int(printed.split()[-1]) > 0


def write(path, content=b"no model"):
    path.write_bytes(content)
    return path


def test_what_is_no_model_is_refused_by_name(tmp_path):
    with pytest.raises(lq.errors.MissingFileError, match=r"nothing\.keras"):
        lq.models.load(tmp_path / "nothing.keras")
    with pytest.raises(lq.errors.UnsupportedModelError, match="neither"):
        lq.models.load(write(tmp_path / "text.keras"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(lq.errors.UnsupportedModelError, match=r"saved_model\.pb"):
        lq.models.load(tmp_path / "folder")
    model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(1)])
    model.save_weights(tmp_path / "weights.h5")
    with pytest.raises(lq.errors.UnsupportedModelError, match="load_weights"):
        lq.models.load(tmp_path / "weights.h5")


def test_a_file_of_keras_3_without_weights_is_refused_by_name(tmp_path):
    path = tmp_path / "three.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"module": "keras"}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    with pytest.raises(
        lq.errors.UnsupportedModelError, match=r"(?s)three\.keras.*weights"
    ):
        lq.models.load(path)


def test_an_unknown_class_is_named_with_the_way_out(tmp_path):
    class Unregistered(tf_keras.layers.Dense):
        pass

    model = tf_keras.Sequential([tf_keras.Input((2,)), Unregistered(1)])
    model.save(tmp_path / "custom.h5")
    with pytest.raises(lq.errors.UnsupportedModelError, match=r"custom_objects"):
        lq.models.load(tmp_path / "custom.h5")
    objects = {"Unregistered": Unregistered}
    assert lq.models.load(tmp_path / "custom.h5", custom_objects=objects).built


def test_a_folder_or_a_checkpoint_is_answered_with_what_is_in_it(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(1)])
    model.save_weights(tmp_path / "checkpoints" / "ckpt-3")
    for path in (tmp_path, tmp_path / "checkpoints"):
        with pytest.raises(
            lq.errors.UnsupportedModelError, match=r"ckpt-3.*checkpoint"
        ):
            lq.models.load(path)
    with pytest.raises(lq.errors.MissingFileError, match="load_weights"):
        lq.models.load(tmp_path / "checkpoints" / "ckpt-3")
    model.save_weights(tmp_path / "net_weights.h5")
    model.save(tmp_path / "net.keras")
    with pytest.raises(lq.errors.UnsupportedModelError) as error:
        lq.models.load(tmp_path)
    assert f"pass the model in it: {str(tmp_path / 'net.keras')!r}" in str(error.value)


def test_what_cannot_be_compiled_is_loaded_without_and_said(tmp_path, caplog):
    def unheard_of(wanted, given):
        return given - wanted

    model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(1)])
    model.compile("sgd", unheard_of)
    model.save(tmp_path / "net.h5")
    assert lq.models.load(tmp_path / "net.h5").optimizer is None
    assert "the model is not compiled" in caplog.text
