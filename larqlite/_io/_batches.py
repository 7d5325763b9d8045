"""Batches of a model's inputs, out of what users hand in as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError

__all__ = ["batches_of", "labelled_batches_of"]

_HOW = (
    "  Fix: an array, or a list or dictionary of arrays, of inputs; or batches of these "
    "(a tf.data.Dataset, generator or list, or a function that returns one), each of "
    "inputs or of (inputs, labels)."
)


def batches_of(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 32,
    steps: int | None = None,
    where: str = "lq.qat.calibrate",
) -> Iterator[Any]:
    """Batches of inputs, of the dtypes that the model takes.

    Args:
        model: the model.
        data: arrays, or an iterable of batches, each of inputs or `(inputs, labels)`; or
            a function without arguments that returns one.
        batch_size: for arrays.
        steps: stop after this many batches; None for all.
        where: the public function, for messages.

    Raises:
        ArgumentError: data of another kind or shape, or without an end.
    """
    labelled = labelled_batches_of(model, data, batch_size, steps, where)
    return (inputs for inputs, _ in labelled)


def labelled_batches_of(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 32,
    steps: int | None = None,
    where: str = "lq.qat.calibrate",
) -> Iterator[tuple[Any, Any]]:
    """As `batches_of`, each batch with its labels, or None where data have none."""
    if callable(data) and not isinstance(data, (Iterable, tf_keras.utils.Sequence)):
        data = _called(data, where)
    given, data, labels = data, _without_labels(model, data), None
    if data is not given:
        labels = given[1]
    if _are_arrays(model, data):
        if not any(tensor.dtype == tf.string for tensor in model.inputs):
            _require_numbers(data, where)
        data = tf.data.Dataset.from_tensor_slices(
            tuple(data) if isinstance(data, list) else data
        ).batch(batch_size)
        is_labelled = False
    elif _is_iterable(data):
        is_labelled = True
        endless = (
            getattr(data, "cardinality", lambda: 0)() == tf.data.INFINITE_CARDINALITY
        )
        if endless and steps is None:
            raise ArgumentError(
                f"{where}: the data repeats without an end.\n"
                "  Fix: say how many batches count: data.take(100), or steps=100 where "
                "there is such an argument."
            )
    else:
        raise ArgumentError(f"{where}: {data!r} is no data.\n{_HOW}")
    for number, batch in enumerate(data):
        if number == steps:
            break
        is_pair = is_labelled and isinstance(batch, tuple) and len(batch) in (2, 3)
        inputs = _cast(
            model, batch[0] if is_pair else batch, f"{where}: batch {number}"
        )
        of_batch = batch[1] if is_pair else None
        if labels is not None:
            start = number * batch_size
            of_batch = labels[start : start + batch_size]
        yield inputs, of_batch


def _called(function: Callable, where: str) -> Any:
    """What a function gives as data: TFLite's `representative_dataset` is one."""
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        raise ArgumentError(
            f"{where}: the function given as data needs the arguments {required}, but it "
            "is called without any.\n  Fix: lambda: my_data(...)."
        )
    return function()


def _without_labels(model: tf_keras.Model, data: Any) -> Any:
    """The inputs of a tuple (inputs, labels) or (inputs, labels, weights) of arrays."""
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        return data
    inputs, *others = data
    are_arrays = all(other is None or _is_array(other) for other in others)
    is_pair = len(data) != len(model.inputs) or not _is_array(inputs)
    return inputs if are_arrays and is_pair and _are_arrays(model, inputs) else data


def _is_iterable(data: Any) -> bool:
    if isinstance(data, (str, bytes)):
        return False
    return isinstance(data, Iterable) or hasattr(data, "__getitem__")


def _are_arrays(model: tf_keras.Model, data: Any) -> bool:
    """Whether data are all examples at once, an array for each input."""
    if isinstance(data, (list, tuple)):
        return len(data) == len(model.inputs) and all(map(_is_array, data))
    if isinstance(data, dict):
        return True
    return _is_array(data)


def _require_numbers(data: Any, where: str) -> None:
    for array in tf.nest.flatten(data):
        if isinstance(array, np.ndarray) and array.dtype.kind not in "biuf":
            raise ArgumentError(
                f"{where}: an array of {array.dtype} is no data, which are numbers.\n{_HOW}"
            )


def _is_array(data: Any) -> bool:
    return isinstance(data, np.ndarray) or tf.is_tensor(data)


def _cast(model: tf_keras.Model, batch: Any, where: str) -> Any:
    tensors = model.inputs
    if isinstance(batch, dict) and not isinstance(model.input, dict):
        by_name = dict(zip(model.input_names, model.inputs, strict=True))
        if set(batch) != set(by_name):
            raise ArgumentError(
                f"{where} is a dictionary of {list(batch)}.\n"
                f'  Fix: the names of the inputs of "{model.name}": {list(by_name)}.'
            )
        tensors = [by_name[name] for name in sorted(batch)]
    flat = tf.nest.flatten(batch)
    shapes = [getattr(value, "shape", ()) for value in flat]
    if len(flat) != len(tensors) or not all(map(_fits, tensors, shapes)):
        wanted = ", ".join(f'"{t.node.layer.name}" {t.shape}' for t in model.inputs)
        given = ", ".join(str(tf.TensorShape(shape)) for shape in shapes[:4])
        more = ", ..." if len(shapes) > 4 else ""
        raise ArgumentError(
            f'{where} has the shapes {given}{more}, but the inputs of "{model.name}" are '
            f"{wanted}.\n{_HOW}"
        )
    cast = [_as(v, t, where) for v, t in zip(flat, tensors, strict=True)]
    return tf.nest.pack_sequence_as(batch, cast)


def _as(value: Any, tensor: Any, where: str) -> tf.Tensor:
    """A value in the dtype of an input; whole numbers must stay what they are.

    Raises:
        ArgumentError: the dtype of the input does not hold the value, or it is no number.
    """
    value = np.asarray(value) if not tf.is_tensor(value) else value
    name = f'"{tensor.node.layer.name}"'
    if tf.as_dtype(value.dtype) == tensor.dtype == tf.string:
        return tf.convert_to_tensor(value)
    if tf.as_dtype(value.dtype) in (tf.string, tf.resource, tf.variant):
        raise ArgumentError(
            f"{where}: the input {name} is {tf.as_dtype(value.dtype).name}, but the model "
            f"takes {tensor.dtype.name}.\n  Fix: data of that kind."
        )
    cast = tf.cast(value, tensor.dtype)
    if not tensor.dtype.is_integer or value.dtype == tensor.dtype:
        return cast
    given = np.asarray(value).astype(np.float64)
    kept = (np.asarray(cast) == given) & (given >= tensor.dtype.min)
    if not np.all(kept & (given <= tensor.dtype.max)):
        raise ArgumentError(
            f"{where}: the input {name} holds {np.sum(~kept)} numbers that "
            f"{tensor.dtype.name} has not, such as {given[~kept].ravel()[0]:g}; the model "
            f"takes {tensor.dtype.name}.\n"
            f"  Fix: whole numbers from {tensor.dtype.min} to {tensor.dtype.max}, or a "
            'model with tf_keras.Input(..., dtype="float32").'
        )
    return cast


def _fits(tensor: Any, shape: Any) -> bool:
    """Whether an array may be an input; Keras adds or drops a last axis of length 1."""
    shape = tf.TensorShape(shape)
    shapes = [shape, shape.concatenate(1)]
    if shape.rank and shape[-1] == 1:
        shapes.append(shape[:-1])
    return any(map(tensor.shape.is_compatible_with, shapes))
