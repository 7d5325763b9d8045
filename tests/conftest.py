"""What all tests share: equal seeds, a check that nothing leaks, fresh processes."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from tests import forks
from tests.common.samples import mark_halves

SEED = 20260101


@pytest.fixture(scope="session")
def _drawn():
    """Where TensorFlow has given out seeds since its own was set: "eagerly", "in a graph"."""
    import tensorflow as tf
    from tensorflow.python.framework import random_seed

    drawn = set()
    get_seed = random_seed.get_seed

    def noted(op_seed):
        drawn.add("eagerly" if tf.executing_eagerly() else "in a graph")
        return get_seed(op_seed)

    random_seed.get_seed = noted
    yield drawn
    random_seed.get_seed = get_seed


@pytest.fixture(autouse=True, scope="module")
def _kernels_end_with_the_module(_drawn):
    """Has the first test of a module set the seed anew, for which see `_seed`."""
    _drawn.clear()
    _drawn.add("elsewhere")


def _seed(drawn: set) -> None:
    """Has all random numbers begin anew.

    `tf.random.set_seed` throws away every kernel that TensorFlow has made, and making them
    again takes each test 3 to 10 ms. So it is called only where a kernel may be in the
    middle of its random numbers: where something was drawn, and as long as there are
    functions that may draw.
    """
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.eager import context
    from tf_keras.src import backend

    if drawn or context.global_seed() != SEED:
        tf.random.set_seed(SEED)
        drawn -= {"eagerly", "elsewhere"}
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    backend._SEED_GENERATOR.generator = random.Random(SEED)


@pytest.fixture(autouse=True)
def _same_seed_and_no_leaks(_drawn):
    """Equal seeds and layer names; fails a test that leaves a scope behind."""
    import tf_keras

    tf_keras.backend.reset_uids()
    _seed(_drawn)
    yield
    policy = tf_keras.mixed_precision.global_policy().name
    tf_keras.mixed_precision.set_global_policy("float32")
    assert policy == "float32", f"the test left the global dtype policy at {policy}"
    assert tf_keras.backend.image_data_format() == "channels_last"
    context = sys.modules.get("larqlite.context")
    if context is not None:
        assert not context.should_quantize(), "the test left a quantized_scope open"
        assert not context.get_training_metrics(), "the test left a metrics_scope open"


def _printed(result: subprocess.CompletedProcess) -> str:
    """What a process printed; the test fails with its standard error if it failed."""
    if result.returncode:
        pytest.fail(
            f"the fresh process ended with {result.returncode}:\n{result.stderr}",
            pytrace=False,
        )
    return result.stdout


@pytest.fixture
def run_python(tmp_path) -> Callable[..., str]:
    """Runs a snippet in a fresh Python process and returns what it printed.

    `run_python(code, timeout=240, **environment)`: the process starts in
    `tmp_path`, imports larqlite from this checkout, and sees none of the
    variables in `forks.FORCED_BY_A_TEST` unless the test passes them. The test fails
    with the snippet's stderr if the snippet fails. It is for what a test checks of
    imports, of the environment, of threads; files are read by `run_fork` in a fifth
    of the time.
    """

    def run(code: str, timeout: float = 240, **environment: str) -> str:
        return _printed(
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code)],
                env=forks.environment() | {"PYTHONPATH": str(forks.ROOT)} | environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        )

    return run


@pytest.fixture
def run_fork(tmp_path) -> Callable[..., str]:
    """As `run_python`, in a fork of a process that has imported TensorFlow and tf_keras.

    Nothing of larqlite is imported there, nothing is registered, and TensorFlow has no
    context yet: a file that needs more than `import larqlite` does not load.
    """

    def run(code: str, timeout: float = 240) -> str:
        return _printed(forks.shared().run(textwrap.dedent(code), tmp_path, timeout))

    return run


def pytest_make_parametrize_id(config, val, argname):
    """The class names an object whose text is an address: test processes must agree."""
    return type(val).__name__ if " at 0x" in repr(val) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks come before tests are chosen by them."""
    mark_halves(items)
