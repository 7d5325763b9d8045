"""The pool of threads of the native kernels, by a program of its own."""

import os
import pathlib
import shutil
import subprocess

import pytest

NATIVE = pathlib.Path(__file__).parents[2] / "native"


def test_a_loop_does_not_wait_for_helpers_that_have_no_work_left(tmp_path):
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a C++ compiler (g++, or the one that CXX names)")
    program = tmp_path / "test_threads"
    sources = [NATIVE / "threads.cc", NATIVE / "test_threads.cc"]
    flags = ["-std=c++17", "-O1", "-pthread"]
    subprocess.run([compiler, *flags, *sources, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "waits for those who work" in done.stdout
