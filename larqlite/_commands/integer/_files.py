"""Files of `lq integer`: models and samples read, results written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tf_keras

from larqlite import models
from larqlite._io import read
from larqlite.command_line import import_modules
from larqlite.errors import ArgumentError, MissingFileError, UnsupportedModelError
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.outputs import KERAS, renamed, save_model


def require_input(path: Path, suffixes: Sequence[str], where: str) -> None:
    """Asserts that a file of one of these types is there.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: another suffix.
    """
    if not path.exists():
        raise MissingFileError(
            f"{where}: there is no file {str(path)!r} (working directory: {os.getcwd()}).\n"
            "  Fix: check the path."
        )
    if path.suffix not in suffixes:
        raise ArgumentError(
            f"{where}: {str(path)!r} does not end in {' or '.join(suffixes)}.\n"
            f"  Fix: a saved model, such as {renamed(path, suffixes[0])}."
        )


def save(model: tf_keras.Model, path: Path) -> dict[str, Any]:
    """Saves a Keras model, and says so."""
    save_model(model, path)
    return said(path)


def said(path: Path) -> dict[str, Any]:
    """Says that a file was written; returns the same as data."""
    size = path.stat().st_size
    print(f"wrote {path} ({size:,} bytes)")
    return {"wrote": str(path), "bytes": size}


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


def samples_of(
    path: Path | None, names: Sequence[str], shapes, where: str, part: str = "train"
) -> Any:
    """The samples in a file; None without one.

    Args:
        path: of the file.
        names: of the inputs.
        shapes: theirs, without the batch; None is an open size.
        where: the command.
        part: of a file in two parts, "train" or "test".

    Returns:
        An array, or a list of one for each of several inputs.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: it has no arrays that fit.
    """
    if path is None:
        return None
    found = read(path, names, where, part, shapes=shapes, joined=True)
    arrays = list(found.inputs.values())
    return arrays[0] if len(arrays) == 1 else arrays
