"""Gradients of one's own, in graphs that end with the model that they belong to."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

__all__ = ["custom_gradient"]


def custom_gradient(f: Callable) -> Callable:
    """`tf.custom_gradient`, without keeping every graph for as long as the process lives.

    In a graph TensorFlow registers the gradient of each call by a name, in a table of the
    process, and the gradient holds the tensors of the graph, and the graph the variables: of
    each quantized model that was ever built, the kernels would stay in memory. Here the
    gradient belongs to the graph, and its name leaves the table when the graph does.

    Args:
        f: takes tensors; returns values and the function that maps the gradients of the
            values to those of the tensors.

    Returns:
        A function of the same tensors that returns the values.
    """
    traced = tf.custom_gradient(f)  # noqa: TID251

    @functools.wraps(f)
    def call(*tensors: Any) -> Any:
        values = traced(*tensors)
        if not tf.executing_eagerly():
            _end_with_its_graph(tf.nest.flatten(values)[0])
        return values

    return call


@tf.autograph.experimental.do_not_convert
def _end_with_its_graph(value: tf.Tensor) -> None:
    name = tf.compat.as_str(value.op.get_attr("_gradient_op_type"))
    table = ops.gradient_registry._registry
    graph, entry = value.graph, table[name]
    gradient = weakref.ref(entry["type"])
    if not hasattr(graph, "_larqlite_gradients"):
        graph._larqlite_gradients = []
    graph._larqlite_gradients.append(entry["type"])
    table[name] = {**entry, "type": lambda op, *grads: gradient()(op, *grads)}
    weakref.finalize(graph, table.pop, name, None).atexit = False
