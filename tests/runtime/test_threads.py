"""The pool of threads of the native kernels, by a program of its own."""

import os
import pathlib
import shutil
import subprocess

import pytest

from larqlite_runtime.backends import _native
from larqlite_runtime.internal import StepKind
from tests.runtime.steps import random_case

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


@pytest.mark.skipif(_native.library() is None, reason="no compiler: no native kernels")
def test_threads_are_chosen_for_as_many_images_as_there_are_numbers():
    """Each count by itself, and both together, are below 2^31; their sum is not."""
    most = 2**31 - 1
    part = _native.Part([random_case(1, StepKind.CONV).step])
    assert part.estimate(most, most, 4, "portable")[0] == 4
