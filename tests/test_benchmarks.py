"""The benchmark driver works: one quick row, on the larqlite side only."""

import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

DRIVER = pathlib.Path(__file__).parent.parent / "benchmarks" / "run.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(DRIVER), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_row_is_timed_in_a_worker_process_and_kept_figures_are_left_alone():
    results = DRIVER.with_name("results.json")
    before = results.read_bytes() if results.exists() else None
    done = run("--only", "larqlite", "--rounds", "1", "--json", "ste_sign")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (row,) = answer["results"]
    assert row["name"] == "ste_sign"
    assert row["rounds"] == 1
    assert row["other"] is None
    # Two passes over 4M floats take more than 0.1 ms and less than 10 s anywhere.
    assert 1e-4 < row["ours"]["wall"] < 10
    assert 0 < row["ours"]["cpu"] < 10
    assert answer["machine"]["threads"] == {"intra_op": 2, "inter_op": 1}
    assert (results.read_bytes() if results.exists() else None) == before


@pytest.mark.slow
def test_a_trained_network_is_exported_and_run_by_the_runtime():
    done = run(
        "--only", "larqlite", "--rounds", "1", "--json", "layer_7x7x512_ones_avx2"
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["ours"]["options"]["network"] == "layer:7x7x512:1"
    # 116 million products take more than 20 microseconds and less than a second anywhere.
    assert 2e-5 < row["ours"]["cpu"] < 1


@pytest.mark.slow
def test_a_size_is_measured_in_bytes():
    done = run("--only", "larqlite", "--rounds", "1", "--json", "lce_file_BiRealNet")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    # 11 million bits, and 690,000 float weights of the first and last layers.
    assert 4.1e6 < row["ours"]["bytes"] < 4.4e6
    assert row["figure"] == "bytes"


def test_an_unknown_row_is_refused_with_the_names_of_all_rows():
    done = run("vgg")
    assert done.returncode == 2
    assert "no row named vgg" in done.stderr
    assert "binary_vgg" in done.stderr


def test_the_list_holds_every_row_of_the_speed_table():
    listed = run("--list").stdout
    for name in ("binary_vgg", "bireal_net", "bop", "flip_ratio", "ste_sign", "import"):
        assert f"{name} " in listed


@pytest.fixture
def module(monkeypatch):
    """Imports a file of the folder, as the driver does."""
    monkeypatch.syspath_prepend(str(DRIVER.parent))
    return importlib.import_module


@pytest.mark.parametrize("wrong", ["check", "expected"])
def test_a_side_with_other_numbers_is_refused_not_timed(module, wrong):
    rows = module("rows")
    side = rows.Side("larqlite")
    row = rows.Row("a", "a row", "w", side, side, 1.0, agree=1e-3, share=0.7)
    good = {"check": [1.0, 2.0, 3.0, 4.0], "expected": [1.0, 2.0, 3.0001, 9.0]}
    compare = module("measure")._must_agree
    compare(row, {"ours": good, "other": good})
    # A graph that computes something else may still be fast.
    other = {**good, wrong: [1.0, -2.0, 3.5, 4.0]}
    with pytest.raises(RuntimeError, match="the numbers differ"):
        compare(row, {"ours": good, "other": other})


def test_sides_with_networks_of_their_own_are_held_to_their_own_numbers(module):
    rows = module("rows")
    side = rows.Side("larqlite")
    row = rows.Row("a", "a row", "w", side, side, 1.0)
    ours = {"check": [1.0], "expected": [1.0]}
    other = {"check": [2.0], "expected": [2.0]}
    module("measure")._must_agree(row, {"ours": ours, "other": other})


@pytest.mark.skipif(shutil.which("c++") is None, reason="peaks.cc is compiled")
def test_peaks_are_those_of_a_processor(module, monkeypatch, tmp_path):
    monkeypatch.setenv(module("engines").FOLDER, str(tmp_path))
    rates = module("workloads.peak").rates()
    # No core does more than a few instructions a cycle, and none reads at 10 TB/s.
    assert all(1 < rate < 10_000 for rate in rates.values())
    if {"fma", "vpdpbusd"} <= set(rates):
        assert 1.5 < rates["vpdpbusd"] / rates["fma"] < 10
