"""What all tests share: equal seeds, a check that nothing leaks, fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORCED_BY_A_TEST = ("TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "XLA_FLAGS")


@pytest.fixture(autouse=True)
def _same_seed_and_no_leaks():
    """Equal seeds and layer names; fails a test that leaves a scope behind."""
    import tf_keras

    tf_keras.backend.reset_uids()
    tf_keras.utils.set_random_seed(20260101)
    yield
    policy = tf_keras.mixed_precision.global_policy().name
    tf_keras.mixed_precision.set_global_policy("float32")
    assert policy == "float32", f"the test left the global dtype policy at {policy}"
    assert tf_keras.backend.image_data_format() == "channels_last"
    context = sys.modules.get("larqlite.context")
    if context is not None:
        assert not context.should_quantize(), "the test left a quantized_scope open"
        assert not context.get_training_metrics(), "the test left a metrics_scope open"


@pytest.fixture
def run_python(tmp_path) -> Callable[..., str]:
    """Runs a snippet in a fresh Python process and returns what it printed.

    `run_python(code, timeout=240, **environment)`: the process starts in
    `tmp_path`, imports larqlite from this checkout, and sees none of the
    variables in `FORCED_BY_A_TEST` unless the test passes them. The test fails
    with the snippet's stderr if the snippet fails.
    """

    def run(code: str, timeout: float = 240, **environment: str) -> str:
        inherited = {k: v for k, v in os.environ.items() if k not in FORCED_BY_A_TEST}
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if result.returncode:
            pytest.fail(
                f"the fresh process ended with {result.returncode}:\n{result.stderr}",
                pytrace=False,
            )
        return result.stdout

    return run


def pytest_make_parametrize_id(config, val, argname):
    """The class names an object whose text is an address: test processes must agree."""
    return type(val).__name__ if " at 0x" in repr(val) else None
