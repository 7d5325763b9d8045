"""Files of `lq integer`: models and samples read, results written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from larqlite import models
from larqlite.command_line import import_modules
from larqlite.errors import ArgumentError, MissingFileError, UnsupportedModelError
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.outputs import KERAS, renamed, written_whole
from larqlite_runtime.arrays import load_arrays


def require_input(path: Path, suffixes: Sequence[str], where: str) -> None:
    """Asserts that a file of one of these types is there.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: another suffix.
    """
    if not path.exists():
        raise MissingFileError(
            f"{where}: there is no file {str(path)!r} (working directory: {os.getcwd()})."
        )
    if path.suffix not in suffixes:
        raise ArgumentError(
            f"{where}: {str(path)!r} does not end in {' or '.join(suffixes)}.\n"
            f"  Fix: a saved model, such as {renamed(path, suffixes[0])}."
        )


def save(model: tf_keras.Model, path: Path) -> None:
    """Saves a Keras model, and says so."""
    with written_whole(path) as temporary:
        model.save(temporary, save_format="h5" if path.suffix == ".h5" else None)
    said(path)


def said(path: Path) -> None:
    """Says that a file was written."""
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")


def keras_model(options, where: str) -> tf_keras.Model:
    """A saved Keras model.

    Args:
        options: of a command, with `model`, `imports` and `unsafe`.
        where: the command, for messages.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: another suffix.
        UnsupportedModelError: the file holds no model.
    """
    require_input(options.model, KERAS, where)
    import_modules("lq", options.imports)
    return models.load(options.model, safe_mode=not options.unsafe)


def integer_model(options, where: str) -> tf_keras.Model:
    """A saved integer model.

    Raises:
        UnsupportedModelError: a float model; and what `keras_model` raises.
    """
    path = options.model
    model = keras_model(options, where)
    if not any(isinstance(layer, QuantizedLayer) for layer in model.layers):
        raise UnsupportedModelError(
            f"{where}: {str(path)!r} is a float model.\n"
            f"  Fix: lq integer quantize --model {path}"
        )
    return model


def samples_of(path: Path | None, names: Sequence[str], shapes, where: str) -> Any:
    """The samples in a file; None without one.

    Args:
        path: a `.npz` file.
        names: of the inputs.
        shapes: theirs, without the batch; None is an open size.
        where: the command.

    Returns:
        An array, or a list of one for each of several inputs.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: it has no arrays that fit.
    """
    if path is None:
        return None
    where = f"{where}: --samples {path}"
    arrays = _arrays(path, where)
    if len(names) == 1:
        if {"x", "y"} <= set(arrays):
            del arrays["y"]
        for name, array in arrays.items():
            _require_shape(name, array, shapes[0], where)
        return np.concatenate(list(arrays.values()))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ArgumentError(
            f"{where}: it holds {', '.join(arrays)}, but the model's inputs are "
            f"{', '.join(names)}.\n"
            f"  Fix: np.savez(path, {', '.join(f'{name}=...' for name in names)})"
        )
    for name, shape in zip(names, shapes, strict=True):
        _require_shape(name, arrays[name], shape, where)
    return [arrays[name] for name in names]


def _arrays(path: Path, where: str) -> dict[str, np.ndarray]:
    how = "np.savez(path, x=inputs)"
    arrays = load_arrays(path, where, how, ArgumentError, MissingFileError)
    if isinstance(arrays, np.ndarray):
        raise ArgumentError(
            f"{where}: NumPy cannot read it as a .npz (it is one array without a name).\n"
            f"  Fix: write it with {how}."
        )
    if not arrays:
        raise ArgumentError(f"{where}: it is empty.\n  Fix: np.savez(path, x=inputs).")
    return arrays


def _require_shape(name: str, array: np.ndarray, shape, where: str) -> None:
    found = array.shape[1:]
    fits = len(found) == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(found, shape, strict=True)
    )
    if not fits or not array.ndim or array.dtype.kind not in "biuf":
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ArgumentError(
            f'{where}: "{name}" has the shape {array.shape} and the type {array.dtype}, '
            f"but the model takes numbers of shape (samples, {wanted}).\n"
            "  Fix: save the inputs as the model is fed, and nothing else."
        )
