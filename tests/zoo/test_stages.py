"""Several recipes in a row: figures, what one hands to the next, and crashes between."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from rich.console import Console

from larqlite.errors import ArgumentError
from larqlite_zoo import training
from larqlite_zoo.training import (
    SGD,
    Adam,
    Constant,
    Cosine,
    Distillation,
    MultiStage,
    Options,
    RealToBinary,
    Recipe,
    _model,
    _run,
    recipe,
)
from larqlite_zoo.training._recipe import as_dict
from tests.zoo.toys import data, registered

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = tuple(f"block_{i}_out" for i in (2, 3, 4, 5, 6, 7, 8, 9))


def from_teacher(teacher, weights, attention, output) -> dict:
    return {
        "teacher": teacher,
        "teacher_weights": weights,
        "allow_missing_teacher_weights": False,
        "classification_weight": 1.0,
        "attention_weight": attention,
        "attention_layers": BLOCKS,
        "teacher_attention_layers": (),
        "output_weight": output,
        "temperature": 1.0,
        "train_teacher_by_attention": False,
        "train_teacher_by_output": False,
    }


# larq_zoo 2.4.0, training/multi_stage_experiments.py: model, epochs, images of a batch,
# optimizer, first weights, distillation.
BNN = ("real_to_bin_net_bnn", 75, 256)
FROM_BAN = from_teacher("real_to_bin_net_ban", "r2b_ban", 0.0, 0.8)
FIGURES = {
    "TrainFPResnet18": (
        ("resnet18_fp", 100, 512), SGD(Cosine(0.1, warmup=5)), None, None,
    ),
    "TrainR2BBFP": (
        ("real_to_bin_net_fp", 75, 256), Adam(RealToBinary(1e-3, 0.3)), None,
        from_teacher("resnet18_fp", "resnet_fp", 30.0, 3.0),
    ),
    "TrainR2BBAN": (
        ("real_to_bin_net_ban", 75, 256), Adam(RealToBinary(1e-3, 0.3)), None,
        from_teacher("real_to_bin_net_fp", "r2b_fp", 30.0, 3.0),
    ),
    "TrainR2BBNN": (BNN, Adam(RealToBinary(2e-4, 0.3)), "r2b_ban", FROM_BAN),
    "TrainR2BBNNAlternative": (BNN, Adam(Cosine(2e-4, warmup=10)), "r2b_ban", FROM_BAN),
    "TrainR2BStrongBaselineBAN": (
        ("strong_baseline_net_ban", 75, 8), Adam(RealToBinary(1e-3, 0.1)), None, None,
    ),
    "TrainR2BStrongBaselineBNN": (
        ("strong_baseline_net_bnn", 75, 8), Adam(RealToBinary(2e-4, 0.1)),
        "baseline_ban", None,
    ),
}  # fmt: skip
STAGES = {
    "TrainR2B": (
        "TrainFPResnet18", "TrainR2BBFP", "TrainR2BBAN", "TrainR2BBNNAlternative",
    ),
    "TrainR2BStrongBaseline": (
        "TrainR2BStrongBaselineBAN", "TrainR2BStrongBaselineBNN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_larq_zoo(name):
    (model, epochs, batch), optimizer, first_weights, distillation = FIGURES[name]
    found = recipe(name)
    assert (found.model, found.epochs, found.batch_size) == (model, epochs, batch)
    assert found.dataset == "imagenet"
    assert found.optimizer == optimizer
    assert found.initial_weights == first_weights
    none = dataclasses.asdict(Distillation())
    assert dataclasses.asdict(found.distillation) == (distillation or none)


@pytest.mark.parametrize("name", STAGES)
def test_stages_hand_on_what_later_ones_ask_for(name):
    from larqlite_zoo import _registered_models

    stages = recipe(name).stages
    assert tuple(stage.name for stage in stages) == STAGES[name]
    made = {None}
    for stage in stages:
        assert {stage.initial_weights, stage.distillation.teacher_weights} <= made
        made.add(_registered_models.find(stage.model).keras_name)


def toy_stages() -> MultiStage:
    optimizer = SGD(Constant(0.05), momentum=0.9)
    first = Recipe(
        "A", "toy_teacher", "toy", epochs=1, batch_size=4, optimizer=optimizer
    )
    second = dataclasses.replace(
        first,
        name="B",
        model="toy_student",
        epochs=2,
        initial_weights="toy_teacher",
        distillation=Distillation(
            teacher="toy_teacher",
            teacher_weights="toy_teacher",
            attention_weight=2.0,
            attention_layers=("block_out",),
            output_weight=3.0,
        ),
    )
    return MultiStage("AB", (first, second))


def options(folder: Path, **changes) -> Options:
    return Options(
        **{
            "output": folder,
            "results": folder.parent / "results",
            "checkpoint_steps": 1,
            "tensorboard": False,
            "progress": False,
            **changes,
        }
    )


def weights(path: Path) -> dict[str, np.ndarray]:
    found = {}

    def remember(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(remember)
    return found


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert len(first) > 0
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


class Crash(Exception):
    """What kill -9 is in the slow test."""


def crash_after(monkeypatch, stage: str, step: int) -> None:
    """Makes training stop right after the checkpoint of that step."""
    save = _run.Checkpoints.save

    def save_and_crash(self, at, *more):
        path = save(self, at, *more)
        if stage in str(self.folder) and at == step:
            raise Crash
        return path

    monkeypatch.setattr(_run.Checkpoints, "save", save_and_crash)


@pytest.fixture(scope="module", autouse=True)
def _toys():
    with registered("toy_teacher", "toy_student"):
        yield


def test_stages_resume_where_they_stopped_and_end_with_the_same_weights(
    tmp_path, monkeypatch
):
    multi, source = toy_stages(), data(8)
    printed = io.StringIO()
    console = Console(file=printed, width=500)
    with monkeypatch.context() as patch:
        crash_after(patch, "stage_1", 3)  # in the second of two epochs of 2 steps
        with pytest.raises(Crash):
            training.train(multi, options(tmp_path / "a"), data=source)
    finished = (tmp_path / "a" / "stage_0" / "finished.json").stat()
    result = training.train(
        multi, options(tmp_path / "a"), data=source, console=console
    )
    assert "stage_0: this run is finished" in printed.getvalue()
    assert "going on at step 4 of 4" in printed.getvalue()
    after = (tmp_path / "a" / "stage_0" / "finished.json").stat()
    assert after.st_mtime_ns == finished.st_mtime_ns
    assert result.output == tmp_path / "a" / "stage_1"
    assert {"attention_loss", "val_output_matching_loss"} <= {*result.history[-1]}

    # Stage 0 need not be run again for the comparison.
    shutil.copytree(tmp_path / "a" / "stage_0", tmp_path / "b" / "stage_0")
    straight = training.train_stages(multi, options(tmp_path / "b"), data=source)
    assert len(straight) == 2
    assert_same_weights(result.weights, straight[1].weights)

    # What stage 1 began with: student and teacher are the student of stage 0.
    first = tmp_path / "a" / "stage_0" / "toy_teacher_weights.h5"
    assert_same_weights(first, tmp_path / "a" / "models" / "toy_teacher_weights.h5")
    strategy = tf.distribute.get_strategy()
    begun = _model.build(
        multi.stages[1], source, strategy, 2, tmp_path / "a" / "stage_1"
    )
    expected = begun.student.get_weights()
    stage_0 = weights(first)
    kernel = next(v for name, v in stage_0.items() if name.endswith("conv/kernel:0"))
    np.testing.assert_array_equal(expected[0], kernel)
    teacher = begun.model.get_layer("teacher")
    np.testing.assert_array_equal(teacher.get_weights()[0], kernel)

    # The student is saved alone.
    alone = tf_keras.models.load_model(result.output / "toy_student.keras")
    assert alone.name == "toy_student"
    assert alone.count_params() == begun.student.count_params()
    assert (tmp_path / "a" / "models" / "toy_student_weights.h5").exists() is False


def finished_stage(folder: Path, stage: Recipe, weight_file: str | None) -> None:
    """What a finished stage leaves, as far as another one looks at it."""
    folder.mkdir(parents=True)
    config = {"run": "0" * 32, "recipe": as_dict(stage)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "history.json").write_text("[]", encoding="utf-8")
    done = {"row": {}, "weights": weight_file}
    (folder / "finished.json").write_text(json.dumps(done), encoding="utf-8")


def test_a_finished_stage_of_another_recipe_is_refused_before_any_is_trained(tmp_path):
    multi = toy_stages()
    finished_stage(tmp_path / "a" / "stage_1", multi.stages[1], None)
    other = multi.with_each_stage(batch_size=2)
    with pytest.raises(ArgumentError, match="batch_size: 4 there, 2 now"):
        training.train(other, options(tmp_path / "a"), data=data())
    assert not (tmp_path / "a" / "stage_0").exists()


def test_weights_that_no_stage_makes_are_refused_before_any_is_trained(tmp_path):
    multi = toy_stages()
    stages = (
        multi.stages[0],
        dataclasses.replace(multi.stages[1], initial_weights="toy_techer"),
    )
    with pytest.raises(
        ArgumentError, match='AB, stage 1: toy_student: weights "toy_tech'
    ):
        training.train(MultiStage("AB", stages), options(tmp_path / "a"), data=data())
    later = dataclasses.replace(multi, initial_stage=1)
    with pytest.raises(ArgumentError, match=r"models/toy_teacher_weights\.h5"):
        training.train(later, options(tmp_path / "a"), data=data())
    assert not (tmp_path / "a").exists()


def test_a_stage_finished_without_its_weights_is_refused(tmp_path):
    multi = toy_stages()
    finished_stage(tmp_path / "a" / "stage_0", multi.stages[0], None)
    with pytest.raises(ArgumentError, match=r"weights are not there .*save_weights"):
        training.train(multi, options(tmp_path / "a"), data=data())


def test_a_published_word_is_left_to_the_model_and_an_unknown_one_is_not(tmp_path):
    from larqlite_zoo.training._first_weights import weight_file

    assert weight_file("imagenet", tmp_path / "stage_1", "quicknet") == "imagenet"
    assert weight_file(None, tmp_path / "stage_1", "quicknet") is None
    with pytest.raises(
        ArgumentError, match=r'quicknet: weights "image".*\n.*"imagenet"'
    ):
        weight_file("image", tmp_path / "stage_1", "quicknet")


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"stages": ()}, "no stages"), ({"initial_stage": 2}, "Fix: 0 to 1")],
)
def test_stages_that_are_not_there_are_refused(fields, message):
    with pytest.raises(ArgumentError, match=message):
        dataclasses.replace(toy_stages(), **fields)


R2B = """
    train TrainR2B --dataset fashion_mnist_subset --train-images 64 --validation-images 16
    --image-size 32 --epochs 1 --batch-size 16 --checkpoint-steps 1 --keep-checkpoints 1
    --no-tensorboard --no-progress --threads 1
"""


def lqz(folder: Path) -> subprocess.Popen:
    """`lqz train TrainR2B`, begun."""
    folder.mkdir(exist_ok=True)
    code = "import sys; from larqlite_zoo.cli import main; main(sys.argv[1:])"
    with (folder / "printed.txt").open("a") as printed:
        return subprocess.Popen(
            [sys.executable, "-c", code, *R2B.split(), "--output", str(folder / "r2b")],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "500"},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen, folder: Path) -> str:
    code, printed = process.wait(timeout=1800), (folder / "printed.txt").read_text()
    assert code == 0, printed
    return printed


@pytest.mark.slow
def test_real_to_binary_runs_from_one_command_and_survives_kill_9(tmp_path, run_fork):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finish(lqz(straight), straight)
    # The second run shares the first two stages, and is killed in the third.
    for stage in ("stage_0", "stage_1"):
        shutil.copytree(straight / "r2b" / stage, killed / "r2b" / stage)
    process = lqz(killed)
    middle = killed / "r2b" / "stage_2" / "checkpoints" / "ckpt-2.index"
    while not middle.exists():
        assert process.poll() is None, (killed / "printed.txt").read_text()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "r2b" / "stage_2" / "finished.json").exists()
    printed = finish(lqz(killed), killed)
    assert printed.count("this run is finished") == 4  # stages 0 and 1, twice
    assert "going on at step" in printed
    for stage, name in ((2, "r2b_ban"), (3, "r2b_bnn")):
        file = Path("r2b") / f"stage_{stage}" / f"{name}_weights.h5"
        assert_same_weights(straight / file, killed / file)
    saved = killed / "r2b" / "stage_3" / "r2b_bnn.keras"
    assert "r2b_bnn (None, 10)" in run_fork(
        f"""
        import larqlite_zoo, tf_keras
        model = tf_keras.models.load_model({str(saved)!r})
        print(model.name, model.output_shape)
        """
    )
    begun = straight / "r2b" / "models"
    assert sorted(path.name for path in begun.iterdir()) == [
        "r2b_ban_weights.h5", "r2b_fp_weights.h5", "resnet_fp_weights.h5",
    ]  # fmt: skip
