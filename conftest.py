"""Quiet logs for every test, and the names that examples in docstrings may use."""

import gc
import os

import pytest

from tests.common.graphs import given_back
from tests.common.programs import skipped

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A model is thousands of objects that live on: looking for garbage after each 700 of them
# was a twentieth of the time of all tests.
gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """Garbage has been looked for once; what is left ends with the process."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Says what was skipped, by the name of what is missing, and how many tests."""
    for line in skipped(terminalreporter.getreports("skipped")):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True, scope="session")
def _what_is_imported_is_not_looked_through_for_garbage():
    """TensorFlow is a million objects, which each collection would look at."""
    import tf_keras  # noqa: F401

    import larqlite  # noqa: F401
    from tests.common.one_trace import trace_once

    trace_once()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _graphs_end_with_the_module():
    with given_back():
        yield


@pytest.fixture(autouse=True)
def _names_in_docstring_examples(request):
    """Offers `np`, `tf`, `tf_keras` and `lq` to doctests without an import line."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import numpy as np
    import tensorflow as tf
    import tf_keras

    import larqlite as lq

    names = request.getfixturevalue("doctest_namespace")
    names.update(np=np, tf=tf, tf_keras=tf_keras, lq=lq)


@pytest.fixture(autouse=True)
def _registrations_end_with_the_test():
    """Takes back what a test or an example registers."""
    import tf_keras

    # All that registers anything, so that the first test to import it does not undo it.
    import larqlite.deploy.converters
    import larqlite.integer.export.onnx.converters  # noqa: F401
    import larqlite_zoo.training  # noqa: F401
    from larqlite.internal import Registry

    stores = (tf_keras.saving.get_custom_objects(), *Registry.all)
    kept = [(store, dict(store)) for store in stores]
    yield
    for store, content in kept:
        store.clear()
        store.update(content)
