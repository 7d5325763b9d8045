"""Other programs: one that does not start, end in time, or end well is an error by its name."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.deploy._run_program import how_it_ended, run_program
from larqlite.errors import LarqliteError, MissingFileError, UnsupportedModelError


def test_what_was_started_by_what_is_stopped_is_stopped_too(tmp_path):
    """A compiler is a driver of others, and they hold its outputs open."""
    begin = time.monotonic()
    inner = f"sh -c 'sleep 1; touch {tmp_path}/late'"
    with pytest.raises(UnsupportedModelError, match=r"x: sh was stopped after 0\.2 s"):
        run_program(["sh", "-c", f"{inner} & sleep 9"], "x", "wait.", patience=0.2)
    time.sleep(max(0, begin + 1.3 - time.monotonic()))
    assert not (tmp_path / "late").exists()


def test_the_caller_is_told_how_a_program_ended_and_what_it_printed(tmp_path):
    done = run_program(
        ["sh", "-c", "pwd; printf '\\377' >&2; exit 4"], "x", "", folder=tmp_path
    )
    assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "\N{REPLACEMENT CHARACTER}")
    assert how_it_ended(done) == "ended with code 4"
    done = run_program(["sh", "-c", "kill -11 $$"], "x", "")
    assert how_it_ended(done) == "was killed by SIGSEGV"
    # Nobody can answer what it asks.
    assert run_program(["cat"], "x", "", patience=5).stdout == ""


def test_what_does_not_start_is_named_and_is_an_error_of_larqlite(tmp_path):
    text = tmp_path / "text"
    text.write_text("no program")
    for path, why in ((text, "Permission denied"), (tmp_path / "none", "No such file")):
        with pytest.raises(
            MissingFileError, match=f"x: {path} does not start: {why}"
        ) as found:
            run_program([path], "x", "")
        assert isinstance(found.value, LarqliteError)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            "echo 'cc1: fatal error: No space left on device' >&2; exit 1",
            "No space left",
        ),
        ("kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_a_compiler_that_fails_leaves_the_files_and_says_what_is_not_known(
    script, why, tmp_path, monkeypatch
):
    compiler = tmp_path / "arm-none-eabi-gcc"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    model = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(2)])
    report = lq.deploy.to_c(model, tmp_path / "made", name="net")
    assert {path.name for path in report.files} == {"net.c", "net.h"}
    assert (report.flash_bytes, report.stack_bytes) == (None, None)
    assert why in str(report)
    assert "the size of the code and the stack are not known" in str(report)
    assert np.all([path.stat().st_size > 0 for path in report.files])
