"""Quiet logs for every test, and the names that examples in docstrings may use."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


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
