"""The data that `lq qat` reads: arrays of inputs, and labels if there are any."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tf_keras

from larqlite.datasets import load_fashion_mnist, to_float_images
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime.arrays import load_arrays, what_is_not_finite

EMBEDDED = "fashion_mnist"


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
        name: "fashion_mnist"; a `.npy` file with inputs; or a `.npz` file with `x` and,
            for training, `y`; or with `x_train`, `y_train`, `x_test`, `y_test`.
        model: what it is for.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: it holds no such arrays, or not of the model's input shape.
    """
    data = _embedded() if name == EMBEDDED else _from_file(Path(name))
    if len(model.inputs) != 1:
        raise ArgumentError(
            f'lq qat: "{model.name}" has {len(model.inputs)} inputs, but --data serves '
            "one.\n  Fix: use lq.qat.quantize_model(model, calibrate=data) in Python."
        )
    wanted = model.inputs[0].shape[1:]
    for array in (data.x, data.x_test):
        if not wanted.is_compatible_with(array.shape[1:]):
            raise ArgumentError(
                f"lq qat: --data {name}: the inputs have the shape {array.shape}, but "
                f'"{model.name}" takes {model.inputs[0].shape}.\n'
                "  Fix: save them as the model is fed, scaled as in its training."
            )
    return data


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


def _embedded() -> Data:
    (x, y), (x_test, y_test) = load_fashion_mnist()
    return Data(to_float_images(x), y, to_float_images(x_test), y_test, True)


def _from_file(path: Path) -> Data:
    where = f"lq qat: --data {path}"
    if not path.is_file():
        raise MissingFileError(
            f"{where}: there is no such file.\n"
            f'  Fix: a .npz or .npy file, or "{EMBEDDED}".'
        )
    arrays = load_arrays(path, where, refused=ArgumentError, missing=MissingFileError)
    if isinstance(arrays, np.ndarray):
        _require_numbers(arrays, where)
        return Data(arrays, None, arrays, None)
    names = ("x", "y") if "x" in arrays else ("x_train", "y_train")
    if names[0] not in arrays:
        raise ArgumentError(
            f"{where}: it holds {', '.join(arrays) or 'nothing'}, but an array "
            '"x" or "x_train" is needed.\n'
            "  Fix: write it with np.savez(path, x=inputs, y=labels)."
        )
    x, y = (arrays.get(key) for key in names)
    x_test = arrays.get("x_test", x)
    y_test = arrays.get("y_test", y if "x_test" not in arrays else None)
    for role, array in (("x", x), ("y", y), ("x_test", x_test), ("y_test", y_test)):
        _require_numbers(array, f"{where}: {role}")
    for inputs, labels in ((x, y), (x_test, y_test)):
        if labels is not None and len(labels) != len(inputs):
            raise ArgumentError(
                f"lq qat: --data {path}: {len(inputs)} inputs, but {len(labels)} labels."
            )
    return Data(x, y, x_test, y_test, has_test_part="x_test" in arrays)
