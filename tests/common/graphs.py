"""Graphs that TensorFlow would keep for as long as the process lives."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back() -> Iterator[None]:
    """Takes back the gradients of functions that are traced inside, and so their graphs.

    TensorFlow registers a `tf.custom_gradient` anew in each graph, and keeps the graph with
    it: about 5 MB for each training step that is traced, 10 GB in all tests.
    """
    from tensorflow.python.framework import ops

    known = ops.gradient_registry._registry
    before = set(known)
    yield
    for name in set(known) - before:
        if name.startswith("CustomGradient-"):
            del known[name]


@contextmanager
def all_given_back() -> Iterator[None]:
    """The same, and all of Keras' state and what waits for the garbage collector."""
    import tf_keras

    tf_keras.backend.clear_session()
    with given_back():
        yield
    tf_keras.backend.clear_session()
    gc.collect()
