"""`lqz train` and `lqz evaluate` on a tiny network of a user's own."""

import contextlib
import csv
import io
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite_zoo import _registered_models, cli, datasets, training
from larqlite_zoo.datasets._source import stratified

MODULE = """
import tf_keras
import larqlite as lq
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model

@register_model("cli_tiny", summary="For tests.", paper=Paper("None", "-", 2026),
                input_shape=(28, 28, 1))
def CliTiny(*, input_shape=None, weights=None, num_classes=10):
    x = image = tf_keras.Input(input_shape)
    x = lq.layers.QuantConv2D(4, 3, strides=4, kernel_quantizer="ste_sign",
                              kernel_constraint="weight_clip")(x)
    x = tf_keras.layers.BatchNormalization(momentum=0.5)(x)
    x = tf_keras.layers.Flatten()(x)
    x = tf_keras.layers.Dense(num_classes, activation="softmax")(x)
    model = tf_keras.Model(image, x, name="cli_tiny")
    if weights:
        model.load_weights(weights)
    return model
"""
TRAIN = (
    "train cli_tiny --import cli_tiny_module --dataset fashion_mnist_subset "
    "--train-images 64 --validation_images 40 --batch-size 16 --epochs 2 "
    "--learning-rate 0.02 --no-tensorboard --no-progress --seed 3"
)
IN_PROCESS = f"{TRAIN} --no-deterministic --output run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds `cli_tiny_module.py` and a finished run of `IN_PROCESS`, in `run`; what it
    printed is in `printed.json`."""
    folder = tmp_path_factory.mktemp("lqz")
    (folder / "cli_tiny_module.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(_registered_models, "_entries", dict(_registered_models._entries))
        patch.chdir(folder)
        with (folder / "printed.json").open("w") as file:
            with contextlib.redirect_stdout(file):
                cli.main([*IN_PROCESS.split(), "--json"])
        yield folder
        sys.modules.pop("cli_tiny_module")


def test_a_run_leaves_an_honest_record_of_its_flags(folder):
    recipe = json.loads((folder / "run" / "config.json").read_text())["recipe"]
    found = {name: recipe[name] for name in ("epochs", "batch_size", "seed", "dataset")}
    assert found == {
        "epochs": 2, "batch_size": 16, "seed": 3, "dataset": "fashion_mnist_subset",
    }  # fmt: skip
    assert (recipe["train_images"], recipe["validation_images"]) == (64, 40)
    assert recipe["optimizer"]["schedule"]["learning_rate"] == 0.02
    with (folder / "results" / "fashion_mnist_subset.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["command"] == f"lqz {IN_PROCESS} --json"
    picture = tf.io.read_file(str(folder / "run" / "curves.png"))
    assert tf.math.reduce_std(tf.cast(tf.io.decode_png(picture), "float32")) > 0


def test_as_data_a_run_is_what_it_wrote_and_nothing_else_is_printed(folder):
    found = json.loads((folder / "printed.json").read_text())
    assert list(found) == ["row", "history", "weights", "output", "recipe"]
    assert found["recipe"] == "TrainCliTiny"
    with (folder / "results" / "fashion_mnist_subset.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {k: str(v) for k, v in found["row"].items()}["seed"] == row["seed"]
    assert found["history"] == json.loads((folder / "run" / "history.json").read_text())
    assert (folder / found["weights"]).is_file()


@pytest.fixture(scope="module")
def evaluated(folder):
    """What `lqz evaluate run --json` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main(["evaluate", "run", "--json"])
    found = json.loads(printed.getvalue())
    assert list(found) == [
        "model", "dataset", "weights", "images", "top1", "top5", "loss",
    ]  # fmt: skip
    return found


def test_evaluate_agrees_with_numpy_on_the_saved_model(evaluated, folder):
    found = evaluated
    model = tf_keras.models.load_model(folder / "run" / "cli_tiny.keras")
    source = datasets.load("fashion_mnist_subset").validation
    chosen = stratified(source.labels, 40, seed=0)
    images, labels = source.images[chosen], source.labels[chosen]
    probabilities = model.predict(images / np.float32(127.5) - 1, verbose=0)
    ranked = np.argsort(-probabilities, axis=1)
    of_label = probabilities[np.arange(40), labels]
    assert found["images"] == 40
    assert found["top1"] == pytest.approx(100 * np.mean(ranked[:, 0] == labels))
    top5 = (ranked[:, :5] == labels[:, np.newaxis]).any(axis=1)
    assert found["top5"] == pytest.approx(100 * np.mean(top5))
    assert found["loss"] == pytest.approx(-np.mean(np.log(of_label)), rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        "cli_tiny --weights run",
        "cli_tiny --weights run/cli_tiny_weights.h5",
        "run/cli_tiny.keras",
    ],
)
def test_evaluate_takes_weights_and_saved_models_alike(
    lqz, folder, evaluated, arguments
):
    asked = f"evaluate {arguments} --dataset fashion_mnist_subset --samples 40"
    result = json.loads(lqz(f"{asked} --json"))
    for name in ("images", "top1", "top5", "loss"):
        assert result[name] == pytest.approx(evaluated[name]), name


def test_evaluate_prints_a_line_for_readers(lqz, folder, evaluated):
    assert f"top-1 {evaluated['top1']:.2f} %" in lqz("evaluate run")


def test_a_registered_model_takes_the_weights_and_the_dataset_of_a_run(
    lqz, folder, evaluated
):
    found = json.loads(lqz("evaluate cli_tiny --weights run --json"))
    assert (found["top1"], found["images"]) == (evaluated["top1"], evaluated["images"])


def test_evaluate_refuses_a_dataset_that_does_not_fit(folder):
    other = datasets.ArraySource(np.zeros((4, 28, 28, 3), np.uint8), np.zeros(4))
    coloured = datasets.Dataset(
        "coloured", other, other, list("ab"), (28, 28, 3), "small"
    )
    with pytest.raises(lq.errors.ArgumentError, match="3 channels"):
        training.evaluate("run/cli_tiny.keras", coloured)
    grey = datasets.ArraySource(np.zeros((4, 28, 28), np.uint8), np.zeros(4))
    two = datasets.Dataset("two", grey, grey, list("ab"), (28, 28, 1), "small")
    with pytest.raises(lq.errors.ArgumentError, match="has 2 classes"):
        training.evaluate("run/cli_tiny.keras", two)


def test_a_finished_run_is_not_begun_again_nor_mixed_with_another(lqz, refused, folder):
    before = (folder / "run" / "history.csv").read_bytes()
    assert "finished" in lqz(IN_PROCESS)
    assert "epochs: 2 there, 3 now" in refused(
        IN_PROCESS.replace("epochs 2", "epochs 3")
    )
    assert (folder / "run" / "history.csv").read_bytes() == before


def test_ctrl_c_says_where_the_same_command_goes_on(
    folder, capsys, monkeypatch, tmp_path
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    command = f"train cli_tiny --no-deterministic --output {tmp_path}".split()

    def said(*more):
        with pytest.raises(SystemExit) as exit_:
            cli.main([*command, *more])
        assert exit_.value.code == 130
        return capsys.readouterr().err

    assert "no checkpoint yet, so the same command begins anew" in said()
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(x=tf.Variable(0)), str(tmp_path / "checkpoints"), 3
    )
    manager.save(checkpoint_number=1500)
    assert "the same command goes on from step 1,501." in said()
    assert "command without --restart goes on" in said("--restart")


@pytest.mark.slow
def test_two_runs_on_one_thread_end_with_the_same_bits(folder, run_fork):
    """In a process of its own: determinism is switched on for the whole process."""
    run_fork(
        f"""
        import sys
        sys.path.insert(0, {str(folder)!r})
        import numpy as np, tensorflow as tf, tf_keras
        from larqlite_zoo import cli
        for output in ("one", "two"):
            cli.main("{TRAIN} --threads 1 --output".split() + [output])
        assert tf.config.threading.get_intra_op_parallelism_threads() == 1
        weights = [
            tf_keras.models.load_model(f"{{name}}/cli_tiny.keras").get_weights()
            for name in ("one", "two")
        ]
        assert all(map(np.array_equal, *weights))
        try:
            cli.main("{TRAIN} --threads 2 --output three".split())
        except SystemExit as error:
            assert error.code == 2
        else:
            raise AssertionError("another number of threads was not refused")
        """
    )


@pytest.mark.slow
def test_quicknet_small_trains_on_grey_images_by_its_own_recipe(
    lqz, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    lqz(
        "train quicknet_small --dataset fashion_mnist_subset --image-size 32 "
        "--train-images 16 --validation-images 8 --batch-size 8 --epochs 1 "
        "--no-deterministic --no-tensorboard --no-progress --output run"
    )
    model = larqlite_zoo.get(
        "quicknet_small", input_shape=(32, 32, 1), num_classes=10,
        weights="run/quicknet_small_weights.h5",
    )  # fmt: skip
    assert model.input_shape == (None, 32, 32, 1)
    found = json.loads(lqz("evaluate quicknet_small --weights run --dataset "
                           "fashion_mnist_subset --image-size 32 --samples 8 --json"))  # fmt: skip
    (row,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert found["top1"] == pytest.approx(100 * row["val_accuracy"])
    assert found["loss"] == pytest.approx(row["val_loss"], rel=1e-3)


@pytest.mark.slow
def test_more_epochs_go_on_where_the_learning_rate_allows_it(lqz, folder):
    shared = IN_PROCESS.replace("--output run", "--schedule constant")
    lqz(f"{shared} --output short --results results_a")
    printed = lqz(f"{shared} --epochs 3 --output short --results results_a")
    assert "going on at step 9 of 12" in printed
    lqz(f"{shared} --epochs 3 --output long --results results_b")
    histories = []
    for name in ("short", "long"):
        history = json.loads((folder / name / "history.json").read_text())
        histories.append([{**epoch, "seconds": None} for epoch in history])
    assert histories[0] == histories[1]
    assert len(histories[0]) == 3
    with (folder / "results_a" / "fashion_mnist_subset.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["epochs"] == "3"
    assert "this run is finished" in lqz(
        f"{shared} --epochs 3 --output short --results results_a"
    )


def test_more_epochs_of_a_cosine_are_answered_with_what_works(lqz, folder, capsys):
    with pytest.raises(SystemExit):
        lqz(f"{IN_PROCESS} --epochs 3")
    message = capsys.readouterr().err
    assert "epochs: 2 there, 3 now" in message
    fix = message.partition("from its weights: ")[2].partition(";")[0]
    assert "--output run_longer" in fix
    shared = IN_PROCESS.replace("--output run", "")
    assert "accuracy" in lqz(f"{shared} --epochs 1 {fix}")
