"""Several replicas compute what one does, and several workers write what one does."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo.training import _distribution as distribution
from tests.zoo import run_files, training_process, workers

KILLED = -signal.SIGKILL
ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def server():
    server = training_process.Server(ROOT)
    yield server
    server.close()


def weights(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the weight file of a run."""
    arrays = {}
    with h5py.File(next(folder.glob("*_weights.h5"))) as file:
        file.visititems(
            lambda name, item: arrays.update(
                {name: item[()]} if hasattr(item, "dtype") else {}
            )
        )
    assert len(arrays) > 3
    return arrays


def require_close_runs(one: Path, other: Path) -> None:
    """Fails unless weights, losses and flip ratios of two runs agree to 1e-5."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(
            second[name], value, rtol=0, atol=TOLERANCE, err_msg=name
        )
    rows = [run_files.rows(folder / "history.csv") for folder in (one, other)]
    for expected, row in zip(*rows, strict=True):
        assert expected.keys() == row.keys()
        for name, value in expected.items():
            expected_value = pytest.approx(float(value), rel=TOLERANCE, abs=TOLERANCE)
            assert float(row[name]) == expected_value, name
        assert any("flip_ratio" in name and float(row[name]) > 0 for name in row)


def files_of(folder: Path) -> set[str]:
    """Names of what a run has left, without the numbers of the event files."""
    return {
        str(path.relative_to(folder)).split("events.out")[0]
        for path in folder.rglob("*")
        if path.is_file()
    }


def job_for(output: Path, model: str, optimizer: str, strategy: str, **job) -> dict:
    return {
        "recipe": {"model": model, "optimizer": optimizer, "epochs": 3},
        "options": {"strategy": strategy, "flip_ratio": True},
        "output": str(output),
    } | job


def require_ended(processes, printed, codes=(0, 0)) -> None:
    for process, text, code in zip(processes, printed, codes, strict=True):
        assert process.returncode == code, text


@pytest.mark.slow
def test_two_workers_train_what_one_does_and_write_it_once(server, tmp_path):
    """24 steps with CaseOptimizer: Bop for the kernels, SGD for the rest."""
    one, two = tmp_path / "one", tmp_path / "two"
    processes = workers.start(job_for(two, "tiny_bop", "bop_and_sgd", "multi_worker"))
    assert server.run(**job_for(one, "tiny_bop", "bop_and_sgd", "none")) == 0
    printed = workers.ends(processes)
    require_ended(processes, printed)
    require_close_runs(one, two)
    assert files_of(two) == files_of(one)
    assert len(run_files.results(two)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "one", "one.log", "one_results", "two", "two_results",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "optimizer"), [("tiny_plain", "sgd"), ("tiny_bop", "bop_and_sgd")]
)
def test_two_replicas_of_one_process_train_what_one_does(
    server, tmp_path, model, optimizer
):
    one, two = tmp_path / "one", tmp_path / "two"
    assert server.run(**job_for(one, model, optimizer, "none")) == 0
    job = job_for(two, model, optimizer, "mirrored", replicas=2)
    assert server.run(**job) == 0
    require_close_runs(one, two)
    assert files_of(two) == files_of(one)


@pytest.mark.slow
def test_replicas_with_batch_statistics_stay_equal_and_learn(server, tmp_path):
    for name, starts in (("mirrored", 1), ("multi_worker", 2)):
        folder = tmp_path / name
        job = job_for(folder, "tiny_normalized", "sgd", name)
        job["replicas"] = 2 if starts == 1 else 1
        job["show_replicas"] = True
        if starts == 1:
            assert server.run(**job) == 0
            text = Path(f"{folder}.log").read_text(encoding="utf-8")
        else:
            processes = workers.start(job)
            printed = workers.ends(processes)
            require_ended(processes, printed)
            text = "".join(printed)
        digests = [line for line in text.splitlines() if line.startswith("replica")]
        assert len(digests) == 2, text
        assert len({line.split()[-1] for line in digests}) == 1, digests
        losses = [float(row["loss"]) for row in run_files.rows(folder / "history.csv")]
        assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_two_workers_killed_together_go_on_with_the_same_bits(tmp_path):
    """One is killed in a write; the other can only wait or fail, and is killed too.

    Without batch statistics: a checkpoint holds their mean over the workers.
    """
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    job = job_for(whole, "tiny_plain", "adam", "multi_worker")
    processes = workers.start(job)
    require_ended(processes, workers.ends(processes))
    job["output"] = str(killed)
    processes = workers.start(job, die=[["in_checkpoint", 6], ["step", 1000]])
    processes[0].wait(400)
    processes[1].kill()
    printed = workers.ends(processes)
    require_ended(processes, printed, (KILLED, KILLED))
    assert (killed / "checkpoints" / "ckpt-6_temp").exists()
    processes = workers.start(job)
    printed = workers.ends(processes)
    require_ended(processes, printed)
    assert "going on at step 4 of 24" in printed[0]
    run_files.require_equal_runs(whole, killed)
    assert files_of(killed) == files_of(whole)


@pytest.mark.slow
def test_a_worker_whose_fellow_dies_ends_and_says_so(tmp_path):
    job = job_for(tmp_path / "run", "tiny_plain", "sgd", "multi_worker")
    processes = workers.start(job, die=[["step", 1000], ["step", 4]])
    processes[1].wait(400)
    begin = time.monotonic()
    printed = workers.ends(processes, timeout=300)
    assert time.monotonic() - begin < 240
    assert processes[0].returncode not in (0, KILLED), printed[0]
    assert not (tmp_path / "run" / "finished.json").exists()


@pytest.mark.slow
def test_workers_that_do_not_share_their_folder_are_refused(server, tmp_path):
    job = job_for(tmp_path / "a", "tiny_plain", "sgd", "none")
    job["options"]["flip_ratio"] = False
    assert server.run(die=["step", 5], **job) == KILLED
    job["options"]["strategy"] = "multi_worker"
    outputs = [str(tmp_path / "a"), str(tmp_path / "b")]
    processes = workers.start(job, output=outputs)
    printed = workers.ends(processes)
    assert [process.returncode for process in processes] == [1, 1]
    for text in printed:
        assert "the workers would go on at different steps: [3, 0]" in text


CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        json.dumps({"cluster": CLUSTER}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}),
        json.dumps(
            {"cluster": CLUSTER | {"ps": ["c:1"]}, "task": {"type": "ps", "index": 0}}
        ),
    ],
)
def test_a_cluster_that_does_not_name_this_worker_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ArgumentError, match=r"TF_CONFIG.*\n?.*Fix: on worker i set"):
        distribution.strategy("multi_worker")


class Cluster:
    """A strategy, as far as `shard_of` and `check_batch` look at one."""

    num_replicas_in_sync = 3

    def __init__(self, kind: str, index: int):
        spec = tf.train.ClusterSpec({"chief": ["a:1"], "worker": ["b:1", "c:1"]})
        self.cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            spec, task_type=kind, task_id=index
        )


def test_the_chief_is_worker_0_and_a_batch_is_dealt_out_equally():
    shards = [
        distribution.shard_of(Cluster(*task))
        for task in (("chief", 0), ("worker", 0), ("worker", 1))
    ]
    assert shards == [(0, 3), (1, 3), (2, 3)]
    assert distribution.shard_of(tf.distribute.get_strategy()) == (0, 1)
    with pytest.raises(ArgumentError, match=r"32 images.*3\s+replicas.*\n.*size 30\."):
        distribution.check_batch(32, Cluster("chief", 0))
    distribution.check_batch(33, Cluster("chief", 0))
