"""`fit` and its like trace a step once, where Keras traces it twice.

The first time that a step runs, the variables of optimizer and metrics are made in the
middle of it; TensorFlow then throws away what was traced, and traces it again. Where they
are made before it, numbers are the same to the last bit, and half of the tracing goes. It
leaves alone what is not Keras' own: optimizers of larqlite, models that are no graph of
layers, distribution strategies, steps that run eagerly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf
import tf_keras


class _FirstCall:
    """The function of a step; the first call makes variables before."""

    def __init__(self, model: tf_keras.Model, function: Callable, trains: bool):
        self._model, self._function, self._trains = model, function, trains

    def __call__(self, iterator):
        model, self._model = self._model, None
        if model is not None:
            _make_variables(model, iterator, self._trains)
        return self._function(iterator)

    def __getattr__(self, name: str):
        return getattr(self._function, name)


def _make_variables(model: tf_keras.Model, iterator, trains: bool) -> None:
    """Those of the optimizer and the metrics of a compiled model that has none yet."""
    outputs = getattr(model, "_nested_outputs", None)
    if outputs is None or tf.distribute.has_strategy():
        return
    _, y, _ = tf_keras.utils.unpack_x_y_sample_weight(iterator.element_spec)
    loss, metrics = model.compiled_loss, model.compiled_metrics
    if y is not None and loss is not None and not loss.built:
        loss.build(outputs)
    if y is not None and metrics is not None and not metrics.built:
        metrics.build(outputs, y)
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    is_of_keras = type(inner).__module__.startswith("tf_keras.")
    if trains and is_of_keras and isinstance(inner, tf_keras.optimizers.Optimizer):
        optimizer.build(model.trainable_variables)


def trace_once() -> None:
    """From here on, steps of Keras models are traced once in this process."""
    for name, trains in (("make_train_function", True), ("make_test_function", False)):
        make = getattr(tf_keras.Model, name)
        if not hasattr(make, "__wrapped__"):
            setattr(tf_keras.Model, name, _once(make, trains))


def _once(make: Callable, trains: bool) -> Callable:
    @functools.wraps(make)
    def made(self, force: bool = False):
        function = make(self, force)
        is_traced = hasattr(function, "get_concrete_function")
        if not is_traced or isinstance(function, _FirstCall) or self.run_eagerly:
            return function
        return _FirstCall(self, function, trains)

    return made
