"""Folders that cannot be written and disks that are full, told before training or at once."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite_zoo import training
from larqlite_zoo.training import _files as files
from larqlite_zoo.training._files import OutputError
from larqlite_zoo.training._state import Checkpoints
from tests.zoo import tiny_models, training_process

MIB = 2**20


@pytest.fixture(scope="module", autouse=True)
def _tiny_models():
    tiny_models.register()
    yield
    tiny_models.forget()


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of a given number of MiB; skips where that is not allowed."""
    mounted = []

    def mount(size: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("needs the right to mount a tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def train(output: Path, model="tiny_plain", **options):
    recipe = training_process.recipe(model, "plain_sgd", epochs=1)
    options = {"tensorboard": False} | options
    return training.train(recipe, training_process.options(output, **options))


@pytest.fixture
def no_step(monkeypatch):
    """Fails the test if anything is trained."""

    def fit(self, *args, **kwargs):
        pytest.fail("the run was not refused before training")

    monkeypatch.setattr(tf_keras.Model, "fit", fit)


def test_an_output_under_a_file_is_refused_before_training(tmp_path, no_step):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(
        OutputError, match=r"file/run.*: cannot write there.*\n.*--output"
    ):
        train(tmp_path / "file" / "run", results=tmp_path / "results")


def test_results_under_a_file_are_refused_before_training(tmp_path, no_step):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"file/results: cannot write.*\n.*--results"):
        train(tmp_path / "run", results=tmp_path / "file" / "results")


@contextlib.contextmanager
def without_rights(folder: Path):
    """Takes the right to write to a folder, from root as well."""
    folder.mkdir()
    folder.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        folder.parent.chmod(0o755)
        for parent in folder.parents:
            if parent.stat().st_mode & 0o001 == 0 and parent.owner() == "root":
                parent.chmod(parent.stat().st_mode | 0o011)
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_a_folder_without_the_right_to_write_is_refused(tmp_path):
    with without_rights(tmp_path / "own"):
        for target in (tmp_path / "own", tmp_path / "own" / "below"):
            with pytest.raises(
                OutputError, match=r"own.*cannot write there \(Permission"
            ):
                files.require_space(target, 1, "the checkpoints")
            with pytest.raises(
                OutputError, match=r"own.*cannot write there \(Permission"
            ):
                with files.locked(target):
                    pass


def test_a_disk_that_is_too_small_is_refused_before_training(small_disk, no_step):
    disk = small_disk(1)
    with pytest.raises(
        OutputError, match=r"need \d+\.\d MiB, and there is not so\s+much"
    ):
        train(disk / "run", results=disk / "results", keep_checkpoints=40)
    assert not list((disk / "run").glob("checkpoints/*"))


def test_a_limit_of_file_sizes_counts_as_a_full_disk(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        with pytest.raises(OutputError, match=r"need 2\.0 MiB.*\(File too large\)"):
            files.require_space(tmp_path, 2 * MIB, "the checkpoints")
        files.require_space(tmp_path, MIB // 2, "the checkpoints")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_space_that_is_there_is_given_back(small_disk):
    disk = small_disk(8)
    files.require_space(disk, 6 * MIB, "the checkpoints")
    assert shutil.disk_usage(disk).free > 7 * MIB


def test_a_disk_that_fills_up_names_the_file_and_leaves_the_last_checkpoint(small_disk):
    disk = small_disk(4)
    model = tf_keras.Sequential([tf_keras.Input((500,)), tf_keras.layers.Dense(400)])
    model.compile(tf_keras.optimizers.SGD(), "mse")
    model.optimizer.build(model.trainable_variables)
    checkpoints = Checkpoints(disk / "checkpoints", model, 5, True)
    kernel = model.layers[0].kernel  # 0.8 MB
    failed = 0

    def save_until_it_fails():
        nonlocal failed
        for failed in range(1, 8):
            kernel.assign(tf.fill(kernel.shape, float(failed)))
            checkpoints.save(failed)

    with pytest.raises(OutputError) as failure:
        save_until_it_fails()
    good = failed - 1
    assert good >= 2
    assert str(failure.value).startswith(
        f"{disk}/checkpoints/ckpt-{failed}: could not be written, the disk is full.\n"
        f"  Last good checkpoint: {disk}/checkpoints/ckpt-{good}.\n"
    )
    assert not list((disk / "checkpoints").glob("*_temp*"))
    assert checkpoints.restore() == good
    assert np.unique(kernel) == good
    (disk / "checkpoints" / "ckpt-1.data-00000-of-00001").unlink()
    kernel.assign(tf.fill(kernel.shape, float(failed)))
    checkpoints.save(failed)  # with space again it goes on
    assert checkpoints.restore() == failed


def _h5(path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((1000,)), tf_keras.layers.Dense(1000)])
    model.save_weights(str(path))


def _text(path: Path) -> None:
    path.write_text("new" * MIB, encoding="utf-8")


@pytest.mark.parametrize("writer", [_h5, _text])
def test_a_file_for_which_there_is_no_space_leaves_the_old_one(small_disk, writer):
    disk = small_disk(1)
    path = disk / "file.h5"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(
        OutputError, match=r"file\.h5: could not be written, the disk is"
    ):
        files.write(path, writer)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(disk) == [path.name]


def test_a_folder_that_the_workers_do_not_share_is_refused(tmp_path):
    with pytest.raises(
        OutputError, match=r"config\.json.*does not see it.*\n.*--output"
    ):
        files.require_seen(tmp_path / "config.json", patience=0.2)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    files.require_seen(tmp_path / "config.json", patience=0.2)
