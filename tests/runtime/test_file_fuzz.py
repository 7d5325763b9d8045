"""A short run of the fuzzer, in a process of its own; `make fuzz` runs a long one."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from larqlite_runtime import ModelFileError
from larqlite_runtime.reader import read
from larqlite_runtime.reader._wire import encode
from tests.runtime import exported, fuzz
from tests.runtime.growth import grown
from tests.runtime.mutations import Mutator
from tests.runtime.trees import tree_of

SCRIPT = Path(fuzz.__file__)


def test_damaged_files_are_refused_or_run_and_nothing_else(tmp_path):
    command = [sys.executable, "-X", "importtime", str(SCRIPT), "--count", "200"]
    command += ["--megabytes", "600", "--keep", str(tmp_path / "current.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "0 kinds of findings" in done.stdout
    ran = int(re.search(r"(\d+)  ran", done.stdout)[1])
    assert 40 < ran < 150  # neither all refused nor all sound
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    # By its parts: what importlib imports itself is not in the list.
    assert any(name.startswith("onnxruntime.") for name in imported)
    assert not {"tensorflow", "tf_keras", "larqlite"} & imported


def test_a_file_is_the_same_for_the_same_seed():
    for number in range(20):
        first, second = (
            fuzz._file(fuzz.seeds(), random.Random(number)) for _ in range(2)
        )
        assert first == second


def test_files_are_damaged_in_many_ways():
    mutator = Mutator(fuzz.seeds(), random.Random(0))
    messages = set()
    for _ in range(600):
        try:
            read(mutator.file(), budget=fuzz.BUDGET)
        except ModelFileError as error:
            messages.add(fuzz._reason(error))
    assert len(messages) > 60


@pytest.mark.parametrize("number", range(30))
def test_grown_models_are_sound(number):
    read(grown(random.Random(number)))


@pytest.mark.parametrize("name", exported.NETWORKS)
def test_files_that_export_wrote_are_among_the_seeds(name):
    data = (exported.GOLDEN / f"{name}.onnx").read_bytes()
    assert data in fuzz.seeds()
    graph = read(data)
    assert "larqlite.layers" in graph.metadata
    assert read(encode("Model", tree_of(data))).shapes == graph.shapes


def test_seeds_are_of_both_versions_with_all_that_the_second_has():
    seeds = [tree_of(seed) for seed in fuzz.seeds()]
    versions = {
        opset["version"]
        for seed in seeds
        for opset in seed["opset_import"]
        if opset.get("domain") == "ai.larqlite"
    }
    assert versions == {1, 2}
    nodes = [node for seed in seeds for node in seed["graph"]["node"]]
    found = {node["op_type"] for node in nodes}
    # Scales of inputs, numbers of borders, streams of bits, and their sums.
    assert found >= {"Integers", "Div", "Gather", "BitwiseXor", "Heaviside"}


@pytest.mark.parametrize("name", exported.NETWORKS)
def test_what_export_writes_today_can_be_read(name, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "NETWORKS", {name: exported.NETWORKS[name]})
    exported.write_all(tmp_path)
    today, then = (
        read(folder / f"{name}.onnx") for folder in (tmp_path, exported.GOLDEN)
    )
    assert today.outputs == then.outputs
    assert today.inputs == then.inputs
