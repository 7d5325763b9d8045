"""The data that `lq qat` reads: arrays of inputs, and labels if there are any."""

from __future__ import annotations

import dataclasses

import numpy as np
import tf_keras

from larqlite._io import arrays_of
from larqlite.errors import ArgumentError
from larqlite_runtime.arrays import inputs_of, what_is_not_finite


@dataclasses.dataclass(frozen=True)
class Data:
    """Inputs and labels.

    Attributes:
        x: inputs to calibrate and train with.
        y: their labels, or None.
        x_test: inputs to compare with.
        y_test: their labels, or None.
        has_test_part: whether these are others than `x` and `y`.
    """

    x: np.ndarray
    y: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    has_test_part: bool = False


def read(name: str, model: tf_keras.Model) -> Data:
    """Data from a file, fit for a model.

    Args:
        name: of a file with inputs and, for training, labels; or "fashion_mnist".
        model: what it is for.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: it holds no such arrays, or not of the model's input shape.
    """
    where = f"lq qat: --data {name}"
    arrays = arrays_of(name, "lq qat")
    if len(model.inputs) != 1:
        raise ArgumentError(
            f'lq qat: "{model.name}" has {len(model.inputs)} inputs, but --data serves '
            "one.\n  Fix: use lq.qat.quantize_model(model, calibrate=data) in Python."
        )
    names, shapes = model.input_names, [tuple(model.inputs[0].shape[1:])]
    train, test = (
        inputs_of(arrays, names, where, part, shapes=shapes, refused=ArgumentError)
        for part in ("train", "test")
    )
    has_test_part = train.names != test.names
    for part in (train, test) if has_test_part else (train,):
        (x,), name = part.inputs.values(), ", ".join(part.names)
        _require_numbers(x, f"{where}: {name}")
        _require_numbers(part.labels, f"{where}: the labels of {name}")
    (x,), (x_test,) = train.inputs.values(), test.inputs.values()
    return Data(x, train.labels, x_test, test.labels, has_test_part)


def _require_numbers(array: np.ndarray | None, where: str) -> None:
    """Refuses arrays of words and objects, empty ones, and NaN."""
    if array is None:
        return
    if array.dtype.kind not in "fiub" or not array.ndim:
        raise ArgumentError(
            f"{where} has the dtype {array.dtype} and the shape {array.shape}, which is "
            "no array of numbers.\n  Fix: numbers, one entry for each sample."
        )
    if not array.size:
        raise ArgumentError(f"{where} is empty.\n  Fix: at least one sample.")
    said = what_is_not_finite([array])
    if said is not None:
        raise ArgumentError(
            f"{where}: {said}, which no range holds and no loss can learn.\n"
            "  Fix: leave them out."
        )
