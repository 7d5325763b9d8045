"""What labels mean for a model: the loss to train with, the numbers of their classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tf_keras

from larqlite.errors import ArgumentError

losses = tf_keras.losses


def class_numbers(model: tf_keras.Model, y: np.ndarray | None) -> np.ndarray | None:
    """The number of each label's class, or None if labels stand for no classes.

    Args:
        model: gives one number for each class along its last axis.
        y: numbers of classes, or one-hot rows.
    """
    if y is None or len(model.outputs) != 1:
        return None
    shape = model.output_shape
    classes = shape[-1]
    if classes is None or classes < 2:
        return None
    if y.ndim == len(shape) and y.shape[1:] == tuple(shape[1:]) and _is_one_hot(y):
        return y.argmax(axis=-1)
    if y.ndim == len(shape) and y.shape[-1] == 1:
        y = y[..., 0]
    fits = y.ndim == len(shape) - 1 and y.shape[1:] == tuple(shape[1:-1])
    if fits and y.size and (y == np.rint(y)).all() and y.min() >= 0:
        return y.astype(np.int64)
    return None


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What to train with.

    Attributes:
        loss: the loss.
        is_one_hot: whether labels of classes go to it as one-hot rows; None if labels
            are no classes.
        remark: what is not as the file has it, or "".
    """

    loss: Any
    is_one_hot: bool | None
    remark: str = ""

    def labels(self, model: tf_keras.Model, y: np.ndarray) -> np.ndarray:
        """Labels as the loss takes them."""
        numbers = None if self.is_one_hot is None else class_numbers(model, y)
        if numbers is None:
            return y
        classes = model.output_shape[-1]
        return (
            np.eye(classes, dtype=np.float32)[numbers] if self.is_one_hot else numbers
        )


def lesson(model: tf_keras.Model, loss: Any, y: np.ndarray, where: str) -> Lesson:
    """The loss to train a model with, and the form of the labels.

    The loss of the file stays if there is a form of the labels that it takes.

    Args:
        model: the model.
        loss: that it was compiled with, or None.
        y: the labels.
        where: the command and its words, for messages.

    Raises:
        ArgumentError: no loss fits these labels, or not that of the file.
    """
    if len(model.outputs) != 1:
        raise ArgumentError(
            f'{where}: "{model.name}" has {len(model.outputs)} outputs, but the data have '
            "one array of labels.\n  Fix: train it in Python, with model.fit."
        )
    numbers = class_numbers(model, y)
    if numbers is not None and numbers.max() >= model.output_shape[-1]:
        raise ArgumentError(
            f'{where}: y holds the label {numbers.max()}, but "{model.name}" tells '
            f"{model.output_shape[-1]} classes apart, from 0 to "
            f"{model.output_shape[-1] - 1}.\n  Fix: labels of these, counted from 0."
        )
    loss = _only(loss)
    name = _name_of(loss)
    if numbers is not None and (name is None or "categorical" in name):
        return _of_classes(model, loss, name, y)
    if _same_shape(model, y) and not (name or "").startswith("sparse"):
        return _of_numbers(model, loss, y)
    classes = model.output_shape[-1] or 0
    wanted = f"(n{''.join(f', {size}' for size in model.output_shape[1:])})"
    fix = f"labels of the shape {wanted}"
    if classes > 1 and (name is None or "categorical" in name):
        fix = (
            f"numbers of classes from 0 to {classes - 1}, or one-hot rows of {classes}"
        )
    by = f", which has the loss {name}" if name else ""
    raise ArgumentError(
        f"{where}: y of the shape {y.shape} and dtype {y.dtype} does not fit the output "
        f'{model.output_shape} of "{model.name}"{by}.\n  Fix: {fix}.'
    )


def _of_classes(model: tf_keras.Model, loss: Any, name: str | None, y) -> Lesson:
    given = y.ndim == len(model.output_shape) and y.shape[-1] == model.output_shape[-1]
    kind = "one-hot rows" if given else "numbers of classes"
    if name is None:
        logits = not gives_probabilities(model)
        loss = losses.SparseCategoricalCrossentropy(from_logits=logits)
        remark = (
            f"y holds {kind}, and the file no loss: sparse_categorical_crossentropy"
        )
        return Lesson(loss, False, remark)
    one_hot = not name.startswith("sparse")
    remark = ""
    if one_hot != given:
        other = "one-hot rows" if one_hot else "numbers of classes"
        remark = f"y holds {kind}, which become {other} for the file's {name}"
    return Lesson(loss, one_hot, remark)


def _of_numbers(model: tf_keras.Model, loss: Any, y: np.ndarray) -> Lesson:
    if loss is not None:
        return Lesson(loss, None)
    if set(np.unique(y)) <= {0, 1}:
        loss = losses.BinaryCrossentropy(from_logits=not gives_probabilities(model))
        return Lesson(
            loss, None, "y holds 0 and 1, and the file no loss: binary_crossentropy"
        )
    remark = "y holds numbers, and the file no loss: mean_squared_error"
    return Lesson("mean_squared_error", None, remark)


def _only(loss: Any) -> Any:
    """The loss of a model with one output, which Keras may hold in a list or dictionary."""
    while isinstance(loss, (list, tuple, dict)) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, dict) else loss
    return loss or None


def _name_of(loss: Any) -> str | None:
    """The name of a loss in the form "mean_squared_error"; None for none."""
    if isinstance(loss, str):
        loss = losses.get(loss)
    if loss is None:
        return None
    if isinstance(loss, losses.Loss):
        return getattr(getattr(loss, "fn", None), "__name__", None) or loss.name
    return getattr(loss, "__name__", type(loss).__name__)


def _is_one_hot(y: np.ndarray) -> bool:
    is_bit = (y == 0) | (y == 1)
    return bool(y.size and is_bit.all() and (y.sum(axis=-1) == 1).all())


def _same_shape(model: tf_keras.Model, y: np.ndarray) -> bool:
    """Whether there is a number for each that the model gives; a last axis of 1 may lack."""
    shape = tuple(model.output_shape[1:])
    shapes = [shape, shape[:-1]] if shape and shape[-1] == 1 else [shape]
    return any(
        len(one) == y.ndim - 1
        and all(a in (None, b) for a, b in zip(one, y.shape[1:], strict=True))
        for one in shapes
    )


def gives_probabilities(model: tf_keras.Model) -> bool:
    """Whether a model ends in a softmax or sigmoid."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    known = (tf_keras.activations.softmax, tf_keras.activations.sigmoid)
    return activation in known or isinstance(last, tf_keras.layers.Softmax)
