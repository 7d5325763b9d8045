"""The file itself: valid, complete, the same each time, and never half written."""

import json
import os

import numpy as np
import onnx
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import MissingFileError, UnsupportedModelError
from larqlite.onnx_graph import _model
from tests.deploy.inside_a_file import metadata
from tests.deploy.keras_and_file import export, sequential

K = tf_keras.layers


@pytest.fixture(scope="module")
def model():
    """Read only."""
    arguments = {"kernel_size": 3, "padding": "same", "input_quantizer": "ste_sign"}
    return sequential(
        (9, 9, 3),
        K.Conv2D(5, 3, strides=2),
        K.BatchNormalization(),
        lq.layers.QuantConv2D(7, kernel_quantizer="ste_sign", **arguments),
        K.BatchNormalization(),
        lq.layers.QuantDepthwiseConv2D(depthwise_quantizer="ste_tern", **arguments),
        lq.layers.QuantConv2D(
            3, kernel_quantizer="magnitude_aware_sign", activation="relu", **arguments
        ),
        K.Flatten(),
        lq.layers.QuantDense(
            4,
            input_quantizer=lq.quantizers.DoReFa(3),
            kernel_quantizer=lq.quantizers.DoReFa(3, mode="weights"),
        ),
        K.Softmax(),
    )


@pytest.fixture(scope="module")
def report(model, tmp_path_factory):
    """Of the file `report.path`, which is read only."""
    return export(model, tmp_path_factory.mktemp("exported") / "model.onnx")


def test_the_file_is_valid_and_states_the_sizes_of_every_tensor(model, report):
    path = report.path
    onnx.checker.check_model(path, full_check=True)
    file = onnx.load(path)
    assert file.ir_version == 9
    imports = {entry.domain: entry.version for entry in file.opset_import}
    assert imports == {"": 18, "ai.larqlite": 1}
    assert {f.name for f in file.functions} >= {
        node.op_type for node in file.graph.node if node.domain == "ai.larqlite"
    }
    given = {value.name for value in file.graph.output}
    sizes = {info.name: info.type.tensor_type for info in file.graph.value_info}
    for node in file.graph.node:
        for tensor in node.output:
            if tensor not in given:
                batch, *others = sizes[tensor].shape.dim
                assert batch.dim_param == "batch"
                assert all(size.dim_value > 0 for size in others)
    names = [node.name for node in file.graph.node]
    assert len(set(names)) == len(names)
    assert {layer.name for layer in model.layers if "quant" in layer.name} <= set(names)


def test_weights_take_the_bytes_that_the_summary_says_each(model, report):
    path = report.path
    file = onnx.load(path)
    stored = metadata(path)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    costs = lq.models.profile(model)
    assert report.weight_bytes == costs.deployed_bytes
    assert sum(arrays[name].nbytes for name in stored["larqlite.weights"]) == (
        costs.deployed_bytes
    )
    found = sorted(
        (entry["bits"], entry["count"], arrays[name].nbytes)
        for name, entry in stored["larqlite.weights"].items()
    )
    expected = sorted(
        (weight.bits, weight.count, weight.deployed_bytes)
        for layer in costs.layers
        for weight in layer.weights
    )
    assert found == expected
    scales = sum(arrays[name].nbytes for name in stored["larqlite.scales"])
    assert report.scale_bytes == scales == 4 * 3 + 4
    assert report.bytes == path.stat().st_size


def test_the_metadata_carries_the_version_and_the_summary(model, report):
    texts = metadata(report.path)
    costs = lq.models.profile(model)
    assert texts["larqlite.version"] == lq.__version__
    summary = texts["larqlite.summary"]
    for key in ("name", "params", "macs", "deployed_bytes", "params_by_bits"):
        assert summary[key] == costs.to_dict()[key]
    assert [layer["path"] for layer in summary["layers"]] == [
        layer.path for layer in costs.layers
    ]
    (kernel,) = (
        weight
        for layer in summary["layers"]
        for weight in layer.get("weights", ())
        if weight["name"] == f"{model.layers[2].name}/kernel"
    )
    assert kernel == {
        "name": f"{model.layers[2].name}/kernel",
        "shape": [3, 3, 5, 7],
        "bits": 1,
    }


def test_two_exports_are_equal_byte_for_byte(model, report, tmp_path):
    again = export(model, tmp_path / "model.onnx")
    assert again.path.read_bytes() == report.path.read_bytes()


def test_export_leaves_the_model_as_it_was(model, tmp_path):
    before = [np.array(weight) for weight in model.get_weights()]
    config = json.dumps(model.get_config(), default=str)
    export(model, tmp_path / "model.onnx")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert json.dumps(model.get_config(), default=str) == config


def test_a_failing_export_leaves_nothing_and_an_old_file_alone(
    model, tmp_path, monkeypatch
):
    def fail(*args, **kwargs):
        raise onnx.checker.ValidationError("made to fail")

    monkeypatch.setattr(onnx.checker, "check_model", fail)
    with pytest.raises(UnsupportedModelError, match="made to fail"):
        export(model, tmp_path / "new.onnx")
    assert os.listdir(tmp_path) == []
    old = tmp_path / "old.onnx"
    old.write_bytes(b"\x08what was there")
    with pytest.raises(UnsupportedModelError):
        export(model, old)
    assert old.read_bytes() == b"\x08what was there"
    assert os.listdir(tmp_path) == ["old.onnx"]


def test_a_path_that_no_file_can_have_is_refused(model, tmp_path):
    with pytest.raises(
        MissingFileError, match=r'there is no folder ".*missing" for'
    ) as error:
        export(model, tmp_path / "missing" / "model.onnx")
    assert "Fix: mkdir -p" in str(error.value)
    with pytest.raises(MissingFileError, match="is a folder"):
        export(model, tmp_path)


def test_weights_that_no_onnx_file_holds_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(_model, "MOST_BYTES", 100)
    with pytest.raises(UnsupportedModelError, match="one ONNX file holds 100") as error:
        export(model, tmp_path / "model.onnx")
    assert "Fix: quantize" in str(error.value)


def test_the_report_prints_as_a_table(report):
    text = str(report)
    assert text.startswith(f"{report.path} ({report.bytes:,} bytes)")
    for row in report.packed:
        assert f"{row.layer} " in text
        assert row.operation in text
    operations = [row.operation for row in report.packed]
    assert operations == ["BConv2D", "TConv2D", "BConv2D", "QDense"]
    assert f"weights {report.weight_bytes:,} bytes" in text
    assert "float layers: conv2d" in text


def test_an_operation_takes_the_output_of_the_one_before(model, report):
    known = {"", model.input_names[0]}
    file = onnx.load(report.path)
    known |= {tensor.name for tensor in file.graph.initializer}
    for node in file.graph.node:
        assert set(node.input) <= known
        known |= set(node.output)


def test_the_files_permissions_are_those_of_a_new_file(report, tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    assert report.path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_importing_larqlite_does_not_import_onnx(run_fork):
    code = """
        import sys
        import larqlite as lq
        assert "onnx" not in sys.modules and "larqlite.deploy" not in sys.modules
        lq.deploy.converter
        lq.runtime.load
        assert "onnx" not in sys.modules
        print("good")
    """
    assert run_fork(code).strip().endswith("good")
