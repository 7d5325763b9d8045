"""The demo trains, saves and reports truly; run here on a few images."""

import csv
import datetime
import io
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from rich.console import Console

import larqlite as lq
import larqlite_runtime
from larqlite import cli, demo
from larqlite.demo import _run
from larqlite.errors import ArgumentError

FEW = {"epochs": 2, "train_images": 300, "test_images": 150}


def run(**options):
    printed = io.StringIO()
    terminal = Console(file=printed, width=120, force_terminal=True, color_system=None)
    result = demo.run(demo.Options(**FEW | options), terminal)
    return result, printed.getvalue()


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo") / "runs" / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "SECONDS_TO_MEASURE", 0.05)
        return output, *run(output=output)


@pytest.fixture
def untrained(tiny_run, monkeypatch):
    """A demo that leaves its network as it is built; its curves are those of `tiny_run`."""

    def copy_curves(_model, _options, _console, log):
        if log is not None:
            shutil.copy(tiny_run[0] / "history.csv", log)

    monkeypatch.setattr(_run, "_train", copy_curves)


@pytest.fixture
def no_deployment(monkeypatch):
    monkeypatch.setattr(_run, "deploy_and_measure", lambda *_: None)


def test_the_run_writes_the_models_the_curves_and_the_pictures(tiny_run):
    output, result, _ = tiny_run
    assert {path.name for path in output.iterdir()} == {
        "model.keras",
        "history.csv",
        "curves.png",
        "quantizer.png",
        "model.onnx",
        "images.npz",
        "benchmark.png",
        "demo.json",
    }
    assert set(result.files) == set(output.iterdir())
    for picture in output.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_reported_accuracy_is_that_of_the_saved_model(tiny_run):
    output, result, printed = tiny_run
    model = tf_keras.models.load_model(output / "model.keras")
    _, (images, labels) = lq.datasets.load_fashion_mnist()
    images = images[:150, :, :, np.newaxis] / 127.5 - 1
    correct = np.argmax(model(images.astype("float32")), axis=1) == labels[:150]
    assert result.test_accuracy == pytest.approx(correct.mean())
    assert f"Test accuracy, binary      {correct.mean():.4f}" in printed


def test_the_float_twins_accuracy_stands_beside_it_with_command_and_date(tiny_run):
    _, _, printed = tiny_run
    twin = demo.float_twin()
    assert (
        f"Test accuracy, float twin  {twin['test_accuracy']:.4f}   "
        f"({twin['epochs']} epochs, {twin['date']})"
    ) in printed
    assert "lq demo --float-twin " in printed


def test_the_report_shows_the_summary_and_what_to_try_next(tiny_run):
    output, _, printed = tiny_run
    assert "demo stats" in printed
    assert "Ratio of MACs that are binarized" in printed
    assert "lq demo --input-quantizer swish_sign" in printed
    assert f'lq.models.load("{output / "model.keras"}")' in printed


def test_the_deployed_file_is_verified_measured_and_told_in_a_paragraph(tiny_run):
    output, result, printed = tiny_run
    deployed = result.deployed
    assert deployed.verification.ok
    assert [row.layer for row in deployed.verification.layers] == [
        "conv_2",
        "conv_3",
        "conv_4",
    ]
    assert str(deployed.verification) in printed
    assert str(deployed.benchmark) in printed
    engines = [timing.engine for timing in deployed.benchmark.timings]
    assert engines == ["larqlite", "onnxruntime", "tensorflow"]
    size = (output / "model.onnx").stat().st_size
    text = " ".join(printed.split())
    # 9 * (32 * 64 + 64 * 128 + 128 * 128) weights, in bits and in floats
    assert (
        f"model.onnx takes {size:,} bytes. The kernels of its 3 packed layers take "
        "29,952 of them, at 1 bit a weight, instead of 958,464 in float32."
    ) in text
    assert deployed.benchmark.verdict() in text
    assert "150 of 150 labels are those of Keras" in text


def test_the_written_file_runs_without_keras_on_the_written_images(tiny_run):
    output, _, _ = tiny_run
    data = np.load(output / "images.npz")
    found = larqlite_runtime.load(output / "model.onnx")(data["x"])
    model = tf_keras.models.load_model(output / "model.keras")
    np.testing.assert_allclose(found, model(data["x"]), atol=1e-4)
    assert data["y"].shape == (150,)


def test_the_command_gives_the_result_as_data_and_its_words_to_the_error_stream(
    tiny_run, monkeypatch, capsys
):
    _, result, _ = tiny_run

    def told(_options):
        print("epoch 1")
        return result

    monkeypatch.setattr(demo, "run", told)
    cli.main(["demo", "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found) == [
        "test_accuracy",
        "float_twin",
        "seconds",
        "files",
        "deployed",
    ]
    assert found["test_accuracy"] == result.test_accuracy
    assert found["deployed"]["verification"]["ok"] == result.deployed.verification.ok
    assert err == "epoch 1\n"


def test_a_network_that_cannot_be_deployed_is_told_and_the_demo_goes_on(
    tmp_path, monkeypatch, untrained
):
    from larqlite.errors import UnsupportedLayerError

    def refuse(*_, **__):
        raise UnsupportedLayerError("no converter for it")

    monkeypatch.setattr(lq.deploy, "export", refuse)
    result, printed = run(output=tmp_path / "out")
    assert result.deployed is None
    assert "Not deployed: no converter for it" in printed
    assert "lq run" not in printed
    assert set(result.files) == set((tmp_path / "out").iterdir())


def test_the_history_has_losses_accuracies_and_moving_flip_ratios(tiny_run):
    output, _, _ = tiny_run
    with (output / "history.csv").open(newline="") as stream:
        epochs = list(csv.DictReader(stream))
    assert [row["epoch"] for row in epochs] == ["0", "1"]
    flips = [name for name in epochs[0] if name.startswith("flip_ratio/")]
    assert len(flips) == len(binary_layers(demo.build_network()))
    for row in epochs:
        assert all(0 < float(row[name]) < 0.5 for name in flips)
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} < set(row)


def test_every_epoch_is_told_and_the_bar_reaches_the_end(tiny_run):
    _, _, printed = tiny_run
    assert "epoch  1/2" in printed
    assert "epoch  2/2" in printed
    assert "100%" in printed


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(
    tmp_path, no_deployment
):
    weights = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run(output=tmp_path / name, seed=seed, epochs=1, train_images=100)
        model = tf_keras.models.load_model(tmp_path / name / "model.keras")
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(weights[0], weights[1], rtol=0, atol=1e-5)
    assert np.abs(weights[0] - weights[2]).max() > 0.1


def binary_layers(model):
    return [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]


def test_nearly_all_operations_of_the_network_are_binary():
    pixels_times_weights = 14**2 * 9 * 32 * 64 + 7**2 * 9 * 64 * 128 + 5**2 * 9 * 128**2
    counted = lq.models.profile(demo.build_network()).to_dict()["macs"]
    assert {(m["weight_bits"], m["input_bits"]): m["count"] for m in counted} == {
        (1, 1): pixels_times_weights,
        (32, 32): 28**2 * 9 * 32 + 128 * 10,
    }
    share = pixels_times_weights / sum(m["count"] for m in counted)
    assert f"{share:.1%}" == "98.0%"  # as docs/start.md says


def test_the_quantizers_can_be_chosen_by_name():
    model = demo.build_network("swish_sign", "ste_tern")
    for layer in binary_layers(model):
        assert isinstance(layer.input_quantizer, lq.quantizers.SwishSign)
        assert isinstance(layer.kernel_quantizer, lq.quantizers.SteTern)


def test_the_float_twin_differs_in_nothing_but_the_quantizers():
    binary = demo.build_network()
    twin = demo.build_network(tf.nn.relu, None, None)
    assert [w.shape for w in twin.weights] == [w.shape for w in binary.weights]
    assert set(lq.models.profile(twin).to_dict()["params_by_bits"]) == {"32"}


def test_measuring_the_float_twin_writes_its_record_and_nothing_else(tmp_path):
    output = tmp_path / "out"
    stored = _run.FLOAT_TWIN_FILE.read_bytes()
    result, _ = run(output=output, float_twin=True, epochs=1, train_images=100)
    record = json.loads((output / "float_twin.json").read_text())
    assert result.files == (output / "float_twin.json",)
    assert record["test_accuracy"] == pytest.approx(result.test_accuracy, abs=1e-4)
    assert record["command"] == "lq demo --float-twin"
    assert record["epochs"] == 1
    assert datetime.date.fromisoformat(record["date"]) == datetime.date.today()
    assert set(output.iterdir()) == set(result.files)
    assert _run.FLOAT_TWIN_FILE.read_bytes() == stored


def test_a_record_of_a_float_twin_is_replaced_by_the_next(tmp_path, untrained):
    for _ in range(2):
        result, _ = run(output=tmp_path, float_twin=True)
        assert set(tmp_path.iterdir()) == set(result.files)


def test_the_stored_float_twin_was_trained_like_the_demo():
    twin, options = demo.float_twin(), demo.Options()
    assert (twin["epochs"], twin["seed"]) == (options.epochs, options.seed)
    assert twin["train_images"] == options.train_images == 8000
    # A float convolutional network on 8,000 images of Fashion-MNIST lies there.
    assert 0.88 < twin["test_accuracy"] < 0.93


@pytest.mark.parametrize(
    "options",
    [{"epochs": 0}, {"train_images": 99}, {"test_images": 2001}],
)
def test_options_out_of_range_are_refused_with_the_flag_and_the_range(options):
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(ArgumentError, match=rf"{flag} \d+ is out of range[\s\S]*from"):
        demo.Options(**options)


@pytest.mark.slow
def test_the_whole_demo_comes_within_a_few_points_of_its_float_twin(tmp_path):
    result = demo.run(demo.Options(output=tmp_path), Console(file=io.StringIO()))
    assert result.test_accuracy > 0.86
    assert result.test_accuracy > demo.float_twin()["test_accuracy"] - 0.05
