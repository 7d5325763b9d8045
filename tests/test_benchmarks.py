"""The benchmark driver works: one quick row, on the larqlite side only."""

import json
import pathlib
import subprocess
import sys

DRIVER = pathlib.Path(__file__).parent.parent / "benchmarks" / "run.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(DRIVER), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


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


def test_an_unknown_row_is_refused_with_the_names_of_all_rows():
    done = run("vgg")
    assert done.returncode == 2
    assert "no row named vgg" in done.stderr
    assert "binary_vgg" in done.stderr


def test_the_list_holds_every_row_of_the_speed_table():
    listed = run("--list").stdout
    for name in ("binary_vgg", "bireal_net", "bop", "flip_ratio", "ste_sign", "import"):
        assert f"{name} " in listed
