"""The command `lq qat`: from a saved float model to a TFLite file."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

import larqlite as lq
import larqlite_runtime
from larqlite import cli
from larqlite._io import lesson


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a float model and data for it."""
    folder = tmp_path_factory.mktemp("made")
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Dense(8, activation="relu", input_shape=(4,), name="first"),
            tf_keras.layers.Dense(8, activation="relu", name="inner"),
            tf_keras.layers.Dense(3, activation="softmax", name="last"),
        ],
        name="net",
    )
    model.save(folder / "net.keras")
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (96, 4)).astype("float32")
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 3, 96))
    np.save(folder / "inputs.npy", x)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it, the present folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def command(here, capfd):
    """Runs `lq qat ARGUMENTS` in this process; gives back what it printed."""

    def run(*arguments):
        cli.main(["qat", *arguments])
        return capfd.readouterr().out

    return run


@pytest.fixture
def refused(here, capfd):
    """Runs `lq qat ARGUMENTS`, which must exit with 2; gives back stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main(["qat", *arguments])
        captured = capfd.readouterr()
        assert exit_.value.code == 2
        assert "Traceback" not in captured.err
        assert not list(here.glob("*.tflite"))
        return captured.err

    return run


def test_a_float_model_becomes_a_tflite_file_with_report_and_comparison(command, here):
    printed = command("net.keras", "--data", "data.npz", "-o", "small.tflite")
    assert "net: quantization (bits)" in printed
    assert re.search(r"quant_first +\| *Dense|quant_first +Dense", printed)
    assert re.search(r"float accuracy: [\d.]+ % of 96", printed)
    assert re.search(r"quantized accuracy: [\d.]+ % of 96", printed)
    size = (here / "small.tflite").stat().st_size
    assert f"wrote small.tflite ({size:,} bytes)" in printed
    agreeing = re.search(r"Labels that agree: ([\d.]+)% of 96", printed)
    assert float(agreeing[1]) > 95
    interpreter = Interpreter(model_path="small.tflite")
    interpreter.allocate_tensors()
    details = interpreter.get_tensor_details()
    assert sum(tensor["dtype"] == np.float32 for tensor in details) == 2


def test_integers_in_and_out(command):
    command("net.keras", "--data", "inputs.npy", "--inputs", "int8")
    interpreter = Interpreter(model_path="net.tflite")
    assert interpreter.get_input_details()[0]["dtype"] == np.int8
    assert interpreter.get_output_details()[0]["dtype"] == np.int8


def test_it_trains_on_if_asked_to_and_saves_the_quantization_aware_model(command):
    options = ("--epochs", "2", "--learning-rate", "0.01", "--save", "aware.keras")
    printed = command("net.keras", "--data", "data.npz", *options)
    assert "Epoch 2/2" in printed
    # A line for each epoch; a bar is for terminals.
    assert not {"\b", "\r"} & set(printed)
    assert "[=" not in printed
    before = lq.models.load("net.keras").get_weights()[0]
    aware = lq.models.load("aware.keras")
    layer = next(part for part in aware.layers if part.name == "quant_first")
    assert np.abs(layer.layer.kernel.numpy() - before).max() > 1e-3
    assert aware.optimizer is not None


def test_patterns_give_layers_schemes_of_their_own(command):
    scheme = ("--scheme", "inner=binary", "*=int4")
    printed = command("net.keras", "--data", "data.npz", *scheme, "--save", "aware.h5")
    assert "QuantDense" in printed
    assert larqlite_runtime.load("net.onnx").isa  # the small file, since one is binary
    costs = lq.models.profile(lq.models.load("aware.h5"))
    assert costs.params_by_bits == {1: 64, 4: 4 * 8 + 8 * 3, 32: 8 + 8 + 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("missing.keras --data data.npz", "missing.keras"),
        ("net.keras --data none.npz", "there is no such file"),
        ("net.keras --data net.keras", "NumPy cannot read it|needed"),
        ("net.keras --data data.npz --scheme int9000", "int9000"),
        ("net.keras --data data.npz --scheme int8 inner=binary", "patterns"),
        ("net.keras --data data.npz --scheme other=int8", "other"),
        ("net.keras --data inputs.npy --epochs 1", "needs labels"),
        ("net.keras --data data.npz --epochs -1", "out of range"),
        ("net.keras --data fashion_mnist", r"\(8000, 28, 28, 1\)"),
        ("net.keras --data data.npz --inputs int4", "int4"),
        ("net.keras --data data.npz --inputs int8 -o a.onnx", "a.tflite"),
        ("net.keras --data data.npz --inputs int8 --scheme binary", "asks for a file"),
        ("net.keras", "--data"),
    ],
)
def test_a_mistake_is_answered_with_what_where_and_the_fix(refused, arguments, said):
    assert re.search(said, refused(*arguments.split()))


def test_a_quantization_aware_model_is_told_so(refused):
    model = lq.models.load("net.keras")
    lq.qat.quantize_model(model, calibrate=np.load("inputs.npy")[:9]).save(
        "aware.keras"
    )
    assert "quantization-aware already" in refused("aware.keras", "--data", "data.npz")


def test_data_with_a_test_part_is_compared_on_that_part(command, here):
    with np.load("data.npz") as data:
        x, y = data["x"], data["y"]
    np.savez("split.npz", x_train=x, y_train=y, x_test=x[:32], y_test=y[:32])
    found = json.loads(command("net.keras", "--data", "split.npz", "--json"))
    assert found["comparison"]["examples"] == 32
    assert (found["quantized_accuracy"] * 32) % 1 == 0
    assert found["bytes"] == (here / found["wrote"]).stat().st_size
    assert found["float_layers"] == []
    assert [layer["status"] for layer in found["report"]["layers"]]


def test_data_that_are_no_numbers_are_refused_by_their_place(refused, here):
    with np.load("data.npz") as data:
        x = data["x"].copy()
    x[3] = np.nan
    np.savez("nan.npz", x=x)
    said = refused("net.keras", "--data", "nan.npz")
    assert (
        f"1 of {len(x)} samples hold NaN or infinite numbers (the first is number 3)"
        in (said)
    )


def test_binary_means_the_same_as_the_function(command, here):
    x = np.load("data.npz")["x"]
    printed = command("net.keras", "--data", "data.npz", "--scheme", "binary")
    expected = lq.qat.binarize(lq.models.load("net.keras"), calibrate=x)
    found = larqlite_runtime.load("net.onnx")(x)
    np.testing.assert_allclose(found, expected(x), atol=1e-5)
    assert "float layers: quant_last" in printed  # a binary layer gives it floats
    assert "quant_inner" in printed


def test_a_binary_tflite_file_says_what_is_float_and_where_the_small_file_is(command):
    options = ("--scheme", "inner=binary", "*=int8", "-o", "net.tflite")
    printed = command("net.keras", "--data", "data.npz", *options)
    assert re.search('computed in float32, as .*"quant_inner"', printed)
    assert "--output net.onnx" in printed


CLASSES = np.array([0, 2, 1, 2])
ROWS = np.eye(3)[CLASSES]
BITS = np.array([0, 1, 1, 0])
SPARSE = tf_keras.losses.SparseCategoricalCrossentropy
FOCAL = tf_keras.losses.CategoricalFocalCrossentropy


@pytest.mark.parametrize(
    ("outputs", "loss", "y", "name", "expected"),
    [
        (3, "categorical_crossentropy", CLASSES, "categorical_crossentropy", ROWS),
        (3, "categorical_crossentropy", ROWS, "categorical_crossentropy", ROWS),
        (3, "sparse_categorical_crossentropy", ROWS, "sparse_categorical", CLASSES),
        (3, SPARSE(from_logits=True), CLASSES, "SparseCategorical", CLASSES),
        (3, FOCAL(label_smoothing=0.1), CLASSES, "CategoricalFocal", ROWS),
        (3, ["categorical_hinge"], CLASSES[:, None], "categorical_hinge", ROWS),
        (3, None, CLASSES, "SparseCategorical", CLASSES),
        (3, None, CLASSES.astype("float32"), "SparseCategorical", CLASSES),
        (3, None, ROWS, "SparseCategorical", CLASSES),
        (3, "mse", ROWS, "mse", ROWS),
        (3, None, ROWS + 0.5, "mean_squared_error", ROWS + 0.5),
        (1, "binary_crossentropy", BITS, "binary_crossentropy", BITS),
        (1, None, BITS, "BinaryCrossentropy", BITS),
        (1, None, CLASSES, "mean_squared_error", CLASSES),
        (1, "mae", CLASSES, "mae", CLASSES),
    ],
)
def test_labels_become_what_the_loss_of_the_file_takes(
    outputs, loss, y, name, expected
):
    model = tf_keras.Sequential([tf_keras.layers.Dense(outputs, input_shape=(2,))])
    found = lesson(model, loss, y, "lq qat")
    shown = found.loss if isinstance(found.loss, str) else type(found.loss).__name__
    assert shown.startswith(name)
    labels = found.labels(model, y)
    np.testing.assert_array_equal(labels, expected)
    assert bool(found.remark) == (loss is None or labels.shape[1:] != y.shape[1:])
    model.compile("sgd", found.loss, run_eagerly=True)
    assert np.isfinite(model.test_on_batch(np.ones((4, 2)), labels))


@pytest.mark.parametrize(
    ("outputs", "loss", "y", "said"),
    [
        (3, "categorical_crossentropy", CLASSES + 5, "the label 7, but"),
        (3, None, -CLASSES, "from 0 to 2, or one-hot rows of 3"),
        (3, "categorical_crossentropy", ROWS[:, :2], "one-hot rows of 3"),
        (3, "binary_crossentropy", CLASSES, r"the shape \(n, 3\)"),
        (3, "mse", CLASSES, r"the loss mean_squared_error.*\n.*\(n, 3\)"),
        (1, "sparse_categorical_crossentropy", CLASSES, "does not fit the output"),
    ],
)
def test_labels_that_no_form_of_fits_are_refused(outputs, loss, y, said):
    model = tf_keras.Sequential([tf_keras.layers.Dense(outputs, input_shape=(2,))])
    with pytest.raises(lq.errors.ArgumentError, match=said):
        lesson(model, loss, y, "lq qat")


def test_labels_in_another_form_than_the_files_loss_train_with_a_word(command):
    model = lq.models.load("net.keras")
    model.compile("adam", "categorical_crossentropy")
    model.save("net.keras")
    printed = command("net.keras", "--data", "data.npz", "--epochs", "1")
    assert "become one-hot rows for the file's categorical_crossentropy" in printed
    assert "of 96 inputs that it was trained on" in printed


BROKEN = {
    "words": {"x": np.ones((4, 4)), "y": np.array(list("abcd"))},
    "one number": {"x": np.ones((4, 4)), "y": np.int64(3)},
    "fewer labels": {"x": np.ones((4, 4)), "y": np.arange(3)},
    "NaN": {"x": np.full((4, 4), np.nan), "y": np.arange(4)},
    "nothing": {"x": np.ones((0, 4)), "y": np.arange(0)},
    "another shape": {"x": np.ones((4, 5)), "y": np.arange(4)},
}


@pytest.mark.parametrize("arrays", BROKEN.values(), ids=BROKEN)
def test_data_that_cannot_be_used_are_refused(refused, arrays):
    np.savez("broken.npz", **arrays)
    assert "--data broken.npz" in refused("net.keras", "--data", "broken.npz")


@pytest.mark.slow
def test_the_installed_command_does_it(here):
    program = [sys.executable, "-m", "larqlite", "qat", "net.keras"]
    result = subprocess.run(
        [*program, "--data", "data.npz"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert "wrote net.tflite" in result.stdout
    assert (here / "net.tflite").exists()


@pytest.mark.slow
def test_what_is_done_after_training_has_flags(command):
    words = ("net.keras", "--data", "data.npz", "--scheme", "int4")
    shown = command(*words, "--ranges", "mse", "--equalize", "--adaround", "5")
    assert "error, learned" in shown
    assert "quant_inner" in shown.partition("error, learned")[2]
    rest = ("--ranges", "percentile", "--bias-correction", "-o", "second.tflite")
    assert "wrote second.tflite" in command(*words, *rest)


def test_what_training_would_undo_is_refused(refused):
    words = ("net.keras", "--data", "data.npz", "--epochs", "1", "--adaround", "5")
    assert "--adaround is for what is not trained, and --epochs is 1" in refused(*words)
