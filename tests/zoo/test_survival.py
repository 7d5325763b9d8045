"""A run that is killed goes on, and ends with the bits of one that was not."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from rich.console import Console

from larqlite.errors import ArgumentError
from larqlite_zoo import training
from larqlite_zoo.training._determinism import random_state
from larqlite_zoo.training._files import OutputError, locked
from larqlite_zoo.training._state import Checkpoints, History
from tests.zoo import run_files, tiny_models, training_process

ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def server():
    server = training_process.Server(ROOT)
    yield server
    server.close()


@pytest.fixture(scope="module", autouse=True)
def _tiny_models():
    tiny_models.register()
    yield
    tiny_models.forget()


def require_inside_a_checkpoint(output: Path, step: int) -> None:
    """Fails unless the tensors of that step are on the disk, but no checkpoint is."""
    folder = output / "checkpoints"
    assert list(folder.glob(f"ckpt-{step}_temp/part-*"))
    assert not (folder / f"ckpt-{step}.index").exists()
    latest = tf.train.latest_checkpoint(str(folder))
    assert int(latest.rsplit("-", 1)[1]) < step


def test_a_run_killed_in_a_write_and_at_its_end_ends_with_the_same_bits(
    server, tmp_path
):
    """Bop, Adam, BatchNormalization, Dropout, flip ratios; the write is mid-epoch."""
    job = {
        "recipe": {"model": "tiny_bop_dropout", "optimizer": "bop", "epochs": 2},
        "options": {"flip_ratio": True},
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert server.run(output=str(whole), **job) == 0
    job["output"] = str(killed)
    assert server.run(die=["in_checkpoint", 6], **job) == KILLED
    require_inside_a_checkpoint(killed, 6)
    assert server.run(die=["before_results", 0], **job) == KILLED
    assert not (killed / "finished.json").exists()
    assert server.run(**job) == 0
    run_files.require_equal_runs(whole, killed)
    assert len(run_files.results(killed)) == 1
    assert not list(killed.rglob("*_temp")) + list(killed.rglob("*.part*"))
    text = Path(f"{killed}.log").read_text(encoding="utf-8")
    assert "going on at step 4 of 16" in text
    assert "going on at step 17 of 16" not in text
    history = run_files.rows(whole / "history.csv")
    flips = [k for k in history[0] if "flip_ratio" in k and not k.startswith("val_")]
    assert len(flips) == 2
    assert 0 < float(history[0][flips[0]]) < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ("tiny_dropout", "adam"),
        ("tiny_normalized", "adam_and_sgd"),
        ("tiny_plain", "sgd"),
        ("tiny_bop_dropout", "bop"),
    ],
)
def test_every_optimizer_goes_on_in_the_middle_of_an_epoch(
    server, tmp_path, model, optimizer
):
    job = {
        "recipe": {"model": model, "optimizer": optimizer, "epochs": 2},
        "options": {"flip_ratio": True},
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert server.run(output=str(whole), **job) == 0
    job["output"] = str(killed)
    for death in (["step", 4.1], ["before_listing", 6], ["after_row", 1]):
        assert server.run(die=death, **job) == KILLED
    assert server.run(die=["after_results", 0], **job) == KILLED
    assert len(run_files.results(killed)) == 1
    assert server.run(**job) == 0
    run_files.require_equal_runs(whole, killed)


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_with_the_same_bits(
    server, tmp_path
):
    """The last start, which ends the run, is the command itself in a new interpreter."""
    generator = random.Random(20)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # So many steps that the kills, some steps apart, all find the run at work.
    job = {"recipe": {"epochs": 20}, "options": {"flip_ratio": True}}
    assert server.run(output=str(whole), **job) == 0
    job["output"] = str(killed)
    kills = [["in_checkpoint", 4], ["before_listing", 9], ["after_row", 1]]
    kills += [generator.uniform(0.0, 6.0) for _ in range(15)]
    generator.shuffle(kills)
    kills += [["before_results", 0], ["after_results", 0]]
    assert len(kills) == 20
    for kill in kills:
        if isinstance(kill, list):
            assert server.run(die=kill, **job) == KILLED
            if kill[0] == "in_checkpoint":
                name = next((killed / "checkpoints").glob("ckpt-*_temp")).name
                require_inside_a_checkpoint(killed, int(name[5:-5]))
        else:
            log = tmp_path / f"{kill}.log"
            process = server.start(show_steps=True, log=str(log), **job)
            wait_for_step(log, int(kill))
            time.sleep(kill % 1 * 0.1)
            os.kill(process, signal.SIGKILL)
            assert server.wait() == KILLED
    subprocess.run(
        [sys.executable, training_process.__file__, json.dumps(job)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    run_files.require_equal_runs(whole, killed)
    assert len(run_files.results(killed)) == 1


def wait_for_step(log: Path, number: int) -> None:
    """Until a run that prints a line before each step has begun the step of this process."""
    end = time.monotonic() + 120
    while not log.exists() or log.read_text("utf-8").count("step\n") <= number:
        assert time.monotonic() < end, log.read_text("utf-8")
        time.sleep(0.002)


def test_a_finished_run_says_so_and_other_recipes_are_refused(tmp_path, capsys):
    output = tmp_path / "run"
    recipe = training_process.recipe("tiny_plain", epochs=1)
    options = training_process.options(output, keep_checkpoints=1)
    wide = Console(width=500)
    first = training.train(recipe, options, console=wide)
    own = output / "mine.txt"
    own.write_text("mine", encoding="utf-8")
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()}
    again = training.train(recipe, options, console=wide)
    assert "this run is finished" in capsys.readouterr().out
    assert again.row == first.row
    assert again.history == first.history
    assert again.weights == first.weights
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()} == before

    other = dataclasses.replace(recipe, seed=7, batch_size=64)
    with pytest.raises(ArgumentError) as refusal:
        training.train(other, options)
    assert "batch_size: 32 there, 64 now\n    seed: 1 there, 7 now\n" in str(
        refusal.value
    )
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()} == before

    restarted = training.train(other, dataclasses.replace(options, restart=True))
    assert restarted.row["seed"] == 7
    assert own.read_text(encoding="utf-8") == "mine"
    assert [row["seed"] for row in run_files.results(output)] == ["1", "7"]


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    code = (
        "import fcntl, os, sys, time\n"
        "lock = open(sys.argv[1], 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print(f'process {os.getpid()}', file=lock, flush=True)\n"
        "print('locked', flush=True)\n"
        "time.sleep(600)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(output / ".lock")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(
            OutputError, match=rf"another process .*{first.pid}.*\n.*Fix:"
        ):
            training.train(
                training_process.recipe("tiny_plain"), training_process.options(output)
            )
        assert not (output / "config.json").exists()
    finally:
        first.kill()
        first.communicate()
    with locked(output):
        pass


@pytest.fixture
def checkpoints(tmp_path):
    """Three checkpoints whose first kernel is full of 1, 2 and 3; now it is full of 9."""
    states = []
    with random_state(states):
        model = tf_keras.Sequential(
            [
                tf_keras.Input((3,)),
                tf_keras.layers.Dense(50),
                tf_keras.layers.Dropout(0.5),
            ]
        )
    model.compile(tf_keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    assert len(states) == 1
    made = Checkpoints(tmp_path / "checkpoints", model, 5, True, states)
    for step in (1, 2, 3):
        model.layers[0].kernel.assign(tf.fill([3, 50], float(step)))
        states[0].assign([step] * 3)
        made.save(step, 10.0 * step)
    model.layers[0].kernel.assign(tf.fill([3, 50], 9.0))
    return made, model.layers[0].kernel, states[0]


def test_a_checkpoint_holds_weights_random_state_and_time(checkpoints):
    made, kernel, state = checkpoints
    assert made.restore() == 3
    assert made.last.endswith("ckpt-3")
    assert np.unique(kernel) == 3
    assert state.numpy().tolist() == [3, 3, 3]
    assert made.seconds.numpy() == 30.0


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, Path.unlink])
@pytest.mark.parametrize("part", ["data-00000-of-00001", "index"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(checkpoints, damage, part):
    made, kernel, state = checkpoints
    damage(made.folder / f"ckpt-3.{part}")
    assert made.restore() == 2
    assert np.unique(kernel) == 2
    assert state.numpy().tolist() == [2, 2, 2]
    assert [Path(path).name for path in made.damaged] == ["ckpt-3"]
    made.save(3)
    assert made.restore() == 3
    assert not made.damaged


def test_nothing_is_restored_where_every_checkpoint_is_damaged(checkpoints):
    made, kernel, _ = checkpoints
    for path in made.folder.glob("ckpt-*.data*"):
        _truncate(path)
    with pytest.raises(
        OutputError, match="every checkpoint is damaged: ckpt-3, ckpt-2"
    ):
        made.restore()
    assert np.unique(kernel) == 9  # not one tensor of the half that is readable


@pytest.mark.parametrize("damage", [_truncate, Path.unlink])
def test_checkpoints_are_found_without_their_list(checkpoints, damage):
    made, kernel, _ = checkpoints
    damage(made.folder / "checkpoint")
    assert made.restore() == 3
    assert np.unique(kernel) == 3


def test_what_a_killed_write_leaves_is_removed(checkpoints):
    made, _, _ = checkpoints
    leftover = made.folder / "ckpt-4_temp"
    leftover.mkdir()
    (leftover / "part-00000-of-00001.data").write_bytes(b"half")
    (made.folder / "checkpoint.tmp12ab").write_bytes(b"")
    shutil.copy(made.folder / "ckpt-3.index", made.folder / "ckpt-4.index")
    assert made.restore() == 3
    assert made.damaged == []  # it was never finished, so nothing is lost
    assert not leftover.exists()
    assert not (made.folder / "checkpoint.tmp12ab").exists()


def test_a_checkpoint_of_another_model_is_refused(checkpoints):
    made, _, _ = checkpoints
    model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(50)])
    model.compile(tf_keras.optimizers.SGD(momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    other = Checkpoints(made.folder, model, 5, True)
    with pytest.raises(
        ArgumentError, match=r"ckpt-3 is the checkpoint of a model with"
    ):
        other.restore()


@pytest.mark.slow
def test_the_history_comes_back_as_it_was_written(tmp_path):
    history = History(tmp_path)
    rows = [
        {"epoch": 0.0, "loss": float(np.float32(0.1))},
        {"epoch": 1.0, "loss": 0.05, "val_loss": 1e-30},
    ]
    for row in rows:
        history.add(row)
    content = (tmp_path / "history.json").read_bytes()
    again = History(tmp_path)
    again.load(1)
    assert again.rows == rows[:1]  # the second epoch is run again
    again.add(rows[1])
    assert (tmp_path / "history.json").read_bytes() == content
    with pytest.raises(OutputError, match=r"holds 2 of the 3 epochs"):
        again.load(3)
