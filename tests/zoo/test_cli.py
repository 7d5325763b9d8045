"""The command `lqz`: what it prints, trains and measures, and how it answers a mistake."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite_zoo import _registry, cli, datasets, training

MODULE = """
import tf_keras
import larqlite as lq
from larqlite_zoo._card import Paper
from larqlite_zoo._registry import register_model

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
    """Holds `cli_tiny_module.py` and a finished run of `IN_PROCESS`, in `run`."""
    folder = tmp_path_factory.mktemp("lqz")
    (folder / "cli_tiny_module.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(_registry, "_entries", dict(_registry._entries))
        patch.chdir(folder)
        cli.main(IN_PROCESS.split())
        yield folder
        sys.modules.pop("cli_tiny_module")


@pytest.fixture
def lqz(capsys):
    """Runs `lqz ARGUMENTS` in this process; gives back what it printed."""

    def run(arguments):
        cli.main(arguments.split())
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(lqz, capsys):
    """Runs `lqz ARGUMENTS`, which must exit with 2 and print nothing but stderr."""

    def run(arguments):
        with pytest.raises(SystemExit) as exit_:
            lqz(arguments)
        captured = capsys.readouterr()
        assert exit_.value.code == 2
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err

    return run


def parsed(arguments):
    """Recipe and options of `lqz train ARGUMENTS`, which is not run."""
    from larqlite_zoo import _train_command

    return _train_command.parse(arguments.split())


def test_list_shows_what_the_models_cost_and_reach(lqz):
    printed = lqz("list quicknet*")
    assert re.search(r"quicknet .*13\.2 M .*4\.17 MiB .*1\.88 B.*63\.3", printed)
    assert "quicknet_large" in printed
    assert "birealnet" not in printed


def test_list_as_json_has_the_cards(lqz):
    rows = json.loads(lqz("list quicknet --json"))
    (row,) = rows
    assert row["costs"]["parameters"] == 13_243_720
    assert row["recipe"] == "TrainQuickNet"
    assert (row["family"], row["published"][0]["top1"]) == ("sota", 63.3)


def test_list_recipes_has_every_name_with_its_models(lqz):
    printed = lqz("list --recipes")
    for name in training.recipe_names():
        assert re.search(rf"^ ?{name} ", printed, re.MULTILINE)
    assert re.search(
        r"TrainXNORNet +xnornet +imagenet +Adam 0.001, x0.5.* 100 +1200", printed
    )
    assert "github.com/liuzechun/ReActNet" in printed


def test_list_recipes_by_a_part_of_a_name_or_of_a_model(lqz):
    rows = json.loads(lqz("list *quicknet_l* --recipes --json"))
    assert [row["name"] for row in rows] == ["TrainQuickNetLarge"]
    stages = json.loads(lqz("list trainr2b --recipes --json"))[0]["stages"]
    assert [stage["epochs"] for stage in stages] == [100, 75, 75, 75]
    assert stages[0]["optimizer"].startswith("SGD 0.1")


def test_list_datasets_has_each_with_a_description(lqz):
    rows = json.loads(lqz("list --datasets --json"))
    assert [row["name"] for row in rows] == datasets.names()
    assert "fashion_mnist_subset" in lqz("list --datasets *subset*")


def test_card_in_words_and_as_json(lqz):
    printed = lqz("card QuickNet")
    for expected in ("13,243,720", "arxiv.org/abs/2011.09398", "TrainQuickNet"):
        assert expected in printed
    assert json.loads(lqz("card quicknet --json"))["costs"]["macs"]["32"] == 29_651_712


@pytest.mark.parametrize("name", ["TrainQuickNet", "TrainBiRealNet", "TrainR2B"])
def test_help_has_every_field_of_the_recipe_and_of_the_options(lqz, capsys, name):
    with pytest.raises(SystemExit) as exit_:
        lqz(f"train {name} --help")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    flags = {word.strip(",") for word in printed.split() if word.startswith("--")}
    prefix = "--stages.3." if name == "TrainR2B" else "--"
    for kind in (training.Recipe, training.Distillation):
        for field in set(kind.__dataclass_fields__) - {"optimizer", "distillation"}:
            assert prefix + field.replace("_", "-") in flags
    for field in training.Options.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in flags
    if name == "TrainQuickNet":
        expected = "--binary.learning-rate --binary.warmup --other.momentum"
    elif name == "TrainBiRealNet":
        expected = "--learning-rate --decay-steps --cosine --beta-1 --epsilon"
    else:
        expected = "--initial-stage --stages.1.decay-fraction --stages.0.momentum"
    assert {*expected.split()} <= flags


def test_every_flag_has_a_help_text():
    import typing

    kinds = [
        training.Recipe, training.Distillation, training.Options, training.Adam,
        training.SGD, training.Bop, training.Constant, training.Steps,
        training.Exponential, training.Linear, training.Cosine, training.RealToBinary,
    ]  # fmt: skip
    for kind in kinds:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if name not in ("optimizer", "schedule", "distillation"):
                assert hint.__metadata__[0].help.endswith("."), (
                    f"{kind.__name__}.{name}"
                )


def test_flags_reach_the_recipe_whatever_their_spelling():
    recipe, options = parsed(
        "bi_real_net --batch_size 7 --image-size 64 --precision mixed_bfloat16 "
        "--weight_decay 1e-4 --cosine --decay-steps 99 --strategy mirrored --threads 2 "
        "--output here --no-progress"
    )
    assert (recipe.name, recipe.batch_size, recipe.image_size) == (
        "TrainBiRealNet",
        7,
        64,
    )
    assert recipe.precision == "mixed_bfloat16"
    assert recipe.optimizer == training.Adam(
        training.Linear(5e-3, 99, cosine=True), weight_decay=1e-4
    )
    assert (options.strategy, options.threads, str(options.output)) == (
        "mirrored", 2, "here",
    )  # fmt: skip
    assert not options.progress


def test_flags_of_two_optimizers_have_their_prefix():
    recipe, _ = parsed("quicknet --binary.learning-rate 0.5 --other.warmup 2")
    assert recipe.optimizer.binary == training.Adam(training.Cosine(0.5, 5))
    assert recipe.optimizer.other == training.SGD(training.Cosine(0.1, 2), 0.9)


def test_flags_of_stages_for_one_and_for_all():
    recipe, _ = parsed(
        "TrainR2B --stages.0.epochs 3 --dataset fashion_mnist --batch-size 4 "
        "--stages.3.learning-rate 0.7 --initial-stage 1"
    )
    assert [stage.epochs for stage in recipe.stages] == [3, 75, 75, 75]
    assert {stage.dataset for stage in recipe.stages} == {"fashion_mnist"}
    assert {stage.batch_size for stage in recipe.stages} == {4}
    assert recipe.stages[3].optimizer.schedule.learning_rate == 0.7
    assert recipe.stages[2].optimizer.schedule.learning_rate == 1e-3
    assert recipe.initial_stage == 1


def test_another_optimizer_or_schedule_keeps_what_it_shares_with_the_old_one():
    recipe, _ = parsed("birealnet --schedule cosine --warmup 3 --optimizer=sgd")
    assert recipe.optimizer == training.SGD(training.Cosine(5e-3, 3))
    recipe, _ = parsed("quicknet --binary bop --binary.threshold 1e-6")
    assert recipe.optimizer.binary == training.Bop(1e-6)
    recipe, _ = parsed(
        "TrainR2B --stages.2.schedule steps --stages.2.at-epochs 3 5 "
        "--stages.2.factors 0.1 0.01"
    )
    steps = training.Steps(1e-3, (3, 5), (0.1, 0.01))
    assert recipe.stages[2].optimizer.schedule == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train quicknt", 'Did you mean "quicknet"'),
        ("train TrainQuickNt --epochs 1", 'Did you mean "TrainQuickNet"'),
        ("train quicknet --epoch 3", r"--epochs"),
        ("train quicknet --binary.learning-rat 3", r"--binary\.learning-rate"),
        ("train quicknet --epochs many", "many"),
        ("train quicknet --epochs 0", r"TrainQuickNet: --epochs 0"),
        ("train quicknet --precision float8", "mixed_bfloat16"),
        ("train quicknet --optimizer adamm", 'Did you mean "adam"'),
        ("train birealnet --schedule steps --at-epochs 3", "as many of"),
        (
            "train quicknet --no-deterministic --dataset fashion_mnst",
            'Did you mean "fashion_mnist"',
        ),
        ("train --dataset mnist quicknet", "comes first"),
        ("train quicknet --import no_such_module", 'no module "no_such_module"'),
        ("train", "NAME"),
        ("list quicknt", 'Did you mean "quicknet"'),
        ("list trainquiknet --recipes", 'Did you mean "TrainQuickNet"'),
        ("card quicknt", 'Did you mean "quicknet"'),
        ("evaluate quicknet", "on which images"),
        ("evaluate quicknt --dataset mnist", 'Did you mean "quicknet"'),
        ("evaluate reactnet18 --dataset fashion_mnist_subset", "no weights"),
        ("evaluate missing.keras --dataset fashion_mnist_subset", "no such file"),
        ("paint", "list, card, train, evaluate"),
        ("", "list, card, train, evaluate"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    refused, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, refused(arguments))
    assert not list(tmp_path.iterdir())


def test_version_is_that_of_the_package(lqz):
    assert lqz("--version") == f"larqlite_zoo {lq.__version__}\n"


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
    assert row["command"] == f"lqz {IN_PROCESS}"


def test_evaluate_agrees_with_numpy_on_the_saved_model(lqz, folder):
    found = json.loads(lqz("evaluate run --json"))
    model = tf_keras.models.load_model(folder / "run" / "cli_tiny.keras")
    source = datasets.load("fashion_mnist_subset").validation
    images, labels = source.images[:40], source.labels[:40]
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
def test_evaluate_takes_weights_and_saved_models_alike(lqz, folder, arguments):
    asked = f"evaluate {arguments} --dataset fashion_mnist_subset --images 40"
    result, run = (
        json.loads(lqz(f"{asked} --json")),
        json.loads(lqz("evaluate run --json")),
    )
    for name in ("images", "top1", "top5", "loss"):
        assert result[name] == pytest.approx(run[name]), name
    assert f"top-1 {run['top1']:.2f} %" in lqz("evaluate run")


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


def test_a_closed_pipe_is_no_error_and_tensorflow_is_quiet(tmp_path):
    command = [sys.executable, "-m", "larqlite_zoo", "list", "--recipes", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout.read(1) == b"["
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=240) == 0
    assert errors == b""


@pytest.mark.slow
def test_two_runs_on_one_thread_end_with_the_same_bits(folder, run_python):
    """In a process of its own: determinism is switched on for the whole process."""
    run_python(
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
                           "fashion_mnist_subset --image-size 32 --images 8 --json"))  # fmt: skip
    (row,) = json.loads((tmp_path / "run" / "history.json").read_text())
    assert found["top1"] == pytest.approx(100 * row["val_accuracy"])
    assert found["loss"] == pytest.approx(row["val_loss"], rel=1e-3)
