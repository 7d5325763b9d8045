"""`lqz sweep`: one row for each run, whatever ends the process; figures of the file itself."""

import csv
import fcntl
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from rich.console import Console

import larqlite as lq
import larqlite_runtime
from larqlite.errors import ArgumentError
from larqlite_zoo import cli, datasets, training
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo._train_command import parse
from larqlite_zoo.training import _sweep, _sweep_table as table

SMALL = {
    "image_size": 8, "epochs": 1, "batch_size": 8, "train_images": 16,
    "validation_images": 20,
}  # fmt: skip
RECIPE = training.Recipe(
    name="TrainSwept", model="swept", dataset="fashion_mnist_subset"
)


@pytest.fixture
def swept():
    @register_model("swept", summary="A toy.", paper=Paper("-", "-", 2026))
    def Swept(
        *, input_shape=None, weights=None, num_classes=10,
        input_quantizer="ste_sign", kernel_quantizer="ste_sign",
    ):  # fmt: skip
        def or_none(quantizer):
            return None if quantizer == "float" else quantizer

        image = tf_keras.Input(input_shape)
        x = lq.layers.QuantConv2D(
            4, 3, strides=3, input_quantizer=or_none(input_quantizer),
            kernel_quantizer=or_none(kernel_quantizer), kernel_constraint="weight_clip",
        )(image)  # fmt: skip
        x = tf_keras.layers.Flatten()(x)
        x = tf_keras.layers.Dense(num_classes, activation="softmax")(x)
        model = tf_keras.Model(image, x, name="swept")
        if weights:
            model.load_weights(weights)
        return model


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_goes_on_where_it_stopped_and_measures_its_files(
    swept, tmp_path, monkeypatch
):
    def run(**more):
        printed = io.StringIO()
        rows = training.sweep(
            [RECIPE], ["ternary"], [1], changed=SMALL, output=tmp_path,
            console=Console(file=printed), **more,
        )  # fmt: skip
        return rows, printed.getvalue()

    rows, said = run(minutes=0)
    assert [row["method"] for row in rows] == ["float"]
    assert "1 run of 2" in said
    assert "the same command goes on" in said
    first = (tmp_path / "sweep.csv").read_bytes()
    folder = tmp_path / "TrainSwept" / "ternary" / "seed_1"
    folder.mkdir(parents=True)
    with (folder / ".sweep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, said = run()
    assert "ternary, seed 1: another process is at it" in said
    assert (tmp_path / "sweep.csv").read_bytes() == first

    run()
    floats, ternary = rows_of(tmp_path / "sweep.csv")
    assert list(floats) == list(table.COLUMNS)
    assert floats["accuracy"] == floats["twin_accuracy"] == ternary["twin_accuracy"]
    assert (floats["weight_bits"], floats["activation_bits"]) == ("32", "32")
    assert (ternary["weight_bits"], ternary["activation_bits"]) == ("2", "2")
    # Bytes and accuracy are those of the file.
    assert int(ternary["bytes"]) == (folder / "model.onnx").stat().st_size
    assert float(ternary["milliseconds"]) > 0
    assert ternary["refused"] == ""
    chosen = datasets.load("fashion_mnist_subset").validation.choose(20, seed=0)
    prepare = datasets.preprocessing("small", 8)
    loaded = [chosen.load(number) for number in range(20)]
    images = np.stack([prepare(image, (0, 0), training=False) for image, _ in loaded])
    runtime = larqlite_runtime.load(folder / "model.onnx")
    right = np.argmax(runtime(images), 1) == [int(label) for _, label in loaded]
    assert float(ternary["accuracy"]) == pytest.approx(100 * right.mean())
    # The command is one of `lqz train`, of the very recipe.
    training.add_recipe(RECIPE)
    recipe, _ = parse(shlex.split(ternary["command"])[2:])
    assert (recipe.kernel_quantizer, recipe.epochs, recipe.seed) == ("ste_tern", 1, 1)

    # In a quiet moment the files are timed once more, and nothing else is changed.
    monkeypatch.setattr(_sweep, "_milliseconds", lambda path: 7.5)
    rows, _ = run(measure_again=True)
    assert [row["milliseconds"] for row in rows] == [7.5, 7.5]
    timed = rows_of(tmp_path / "sweep.csv")
    assert timed == [
        floats | {"milliseconds": "7.5"},
        ternary | {"milliseconds": "7.5"},
    ]

    # What cannot be exported has a row that says why.
    def refuses(*_, **__):
        raise ArgumentError("no file of this.\n  Fix: another one.")

    result = training.Result({}, [], folder / "swept_weights.h5", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lq.deploy, "export", refuses)
        data = datasets.load("fashion_mnist_subset")
        assert _sweep._measured(recipe, result, data) == {"refused": "no file of this."}

    # One that diverges stands in the way of none.
    diverged = training.DivergenceError("the loss is NaN")
    monkeypatch.setattr(_sweep, "run", lambda *_: (_ for _ in ()).throw(diverged))
    rows, said = run(path=tmp_path / "other.csv")
    assert rows == []
    assert said.count("diverged") == 2

    # What is done is not done again.
    monkeypatch.setattr(_sweep, "run", lambda *_: pytest.fail("was trained again"))
    again, said = run()
    assert [row["method"] for row in again] == ["float", "ternary"]
    assert "2 runs of 2" in said


def test_rows_of_several_processes_and_twins_that_come_later(tmp_path):
    def row(method, seed, accuracy):
        command = f"lqz train X --seed {seed} --kernel-quantizer {method}"
        return {
            "method": method,
            "accuracy": accuracy,
            "command": command,
            "seed": seed,
        }

    path = tmp_path / "sub" / "t.csv"
    assert table.add(path, row("ste_sign", 1, 60.0))["twin_accuracy"] == ""
    table.add(path, row("ste_sign", 2, 61.0))
    table.add(path, row("float", 1, 70.0))
    table.add(path, row("ste_sign", 2, 61.0))
    found = {(each["method"], each["seed"]): each for each in table.read(path)}
    assert len(found) == len(table.read(path)) == 3
    assert found["ste_sign", "1"]["twin_accuracy"] == "70.0"
    assert found["ste_sign", "2"]["twin_accuracy"] == ""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        ArgumentError, match="no table of a sweep: its columns are a, b"
    ):
        table.read(tmp_path / "other.csv")


def test_seeds_together_have_students_interval():
    row = {
        "recipe": "R", "model": "m", "method": "bnn", "weight_bits": "1",
        "activation_bits": "2", "twin_accuracy": "", "bytes": "", "milliseconds": "",
    }  # fmt: skip
    accuracies, twins = [61.0, 63.0, 65.5], ["70.0", "71.0", ""]
    rows = [
        row | {"seed": str(3 - i), "accuracy": str(a), "twin_accuracy": twin}
        for i, (a, twin) in enumerate(zip(accuracies, twins, strict=True))
    ]
    (found,) = training.sweep_summary(rows)
    # t of 97.5 % is 4.303 for two degrees of freedom, 12.706 for one.
    half = 4.303 * np.std(accuracies, ddof=1) / np.sqrt(3)
    assert found["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["interval"] == pytest.approx(half)
    assert found["below_twin"] == pytest.approx(8.5)
    assert found["below_interval"] == pytest.approx(
        12.706 * np.std([9, 8], ddof=1) / 2**0.5
    )
    assert (found["seeds"], found["bytes"]) == ([1, 2, 3], None)
    (one,) = training.sweep_summary(rows[:1])
    assert one["interval"] is None


def test_methods_by_name_by_width_and_by_two_quantizers():
    assert training.method("bnn") == training.Method("bnn", "ste_sign", "ste_sign")
    assert training.method("lsq_w2a4").input_quantizer == "lsq(4)"
    assert training.method("ste_tern/rsign").kernel_quantizer == "ste_tern"
    for word in training.method_names():
        found = training.method(word.replace("_wNaN", "_w2a3"))
        bits = [
            _sweep._precision(quantizer)
            for quantizer in (found.kernel_quantizer, found.input_quantizer)
        ]
        if word.endswith("_wNaN"):
            assert bits == [2, 3], word
        assert min(bits) < 32 or word == "float", word
    with pytest.raises(ArgumentError, match='Did you mean "bnn"'):
        training.method("bnnn")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("sweep TrainR2B", "has 4 stages"),
        ("sweep quicknet", "quicknet is made without it"),
        ("sweep cnv --methods bnm", 'Did you mean "bnn"'),
        ("sweep cnv --methods ste_sing/ste_sign", 'unknown quantizer "ste_sing"'),
        ("sweep cnv --minutes -1", "--minutes -1"),
        ("sweep cnv --methods lsq_w2a2 --epochs 0", "--epochs 0"),
    ],
)
def test_mistakes_are_refused_before_anything_is_trained(
    words, match, refused, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "make_deterministic", lambda: None)
    assert match in refused(words)
    assert not list(tmp_path.iterdir())


def test_the_help_lists_the_flags(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    printed = capsys.readouterr().out
    for flag in ("--methods", "--seeds", "--epochs", "--minutes", "--train-images"):
        assert flag in printed


@pytest.mark.slow
def test_a_sweep_that_is_killed_at_any_time_ends_with_every_row_once(tmp_path):
    words = [
        sys.executable, "-m", "larqlite_zoo", "sweep", "binary_vgg_small", "--methods",
        "bnn", "--seeds", "1", "2", "--dataset", "fashion_mnist_subset", "--width", "2",
        "--checkpoint-steps", "2",
    ]  # fmt: skip
    for name, value in SMALL.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    def start(output):
        return subprocess.Popen(
            [*words, "--output", str(output), "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    whole = start(tmp_path / "whole")
    expected = json.loads(whole.communicate(timeout=600)[0])
    assert len(expected) == 4
    killed = tmp_path / "killed"
    # In the training of the second run, then once a row more is there.
    for has_come in (
        lambda: any(killed.glob("*/bnn/seed_1/checkpoints/*.index")),
        lambda: len(table.read(killed / "sweep.csv")) >= 3,
    ):
        process = start(killed)
        while not has_come() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert table.read(killed / "sweep.csv")
    found = json.loads(start(killed).communicate(timeout=600)[0])

    def known(rows):
        unsure = ("milliseconds", "minutes", "date")
        return [{k: v for k, v in row.items() if k not in unsure} for row in rows]

    assert known(found) == known(expected)
    assert len(rows_of(killed / "sweep.csv")) == 4
