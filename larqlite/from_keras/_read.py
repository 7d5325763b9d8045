"""Files of Keras 3 as its models; what a file holds instead is said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

import larqlite.keras3 as _registered  # files may hold its layers
from larqlite.errors import (
    KerasVersionError,
    MissingFileError,
    UnsafeFileError,
    UnsupportedModelError,
)

del _registered


def read(path: Path, custom_objects: dict, where: str) -> Any:
    """The model of a `.keras` or `.h5` file that Keras 3 saved, in the back end of this process.

    Raises:
        MissingFileError: there is nothing at the path.
        KerasVersionError: tf_keras saved it.
        UnsafeFileError: it holds Python code.
        UnsupportedModelError: it cannot be read as a model.
    """
    if not path.exists():
        raise MissingFileError(
            f"{where}: there is nothing at {str(path)!r}.\n"
            "  Fix: the path of a .keras or .h5 file that Keras 3 saved."
        )
    version, config = _what_it_holds(path, where)
    if version.startswith("2"):
        raise KerasVersionError(
            f"{where}: {str(path)!r} was saved by tf_keras (Keras {version}).\n"
            f"  Fix: lq.models.load({str(path)!r})."
        )
    if '"class_name": "Lambda"' in config or '"class_name": "__lambda__"' in config:
        raise UnsafeFileError(
            f"{where}: {str(path)!r} holds a Lambda, Python byte code that would run; "
            "none of it was run.\n"
            "  Fix: in a model of your own, operations of keras.ops or a layer class "
            "instead of the Lambda, saved anew."
        )
    try:
        return keras.saving.load_model(
            path, custom_objects=custom_objects or None, compile=False
        )
    except Exception as error:
        first = " ".join(str(error).split())[:400]
        raise UnsupportedModelError(
            f"{where}: Keras {keras.__version__} could not read {str(path)!r}: {first}\n"
            "  Fix: if it names a class of your own, import its module first or pass "
            "custom_objects={'Name': Name}; if weights are missing or the file is cut "
            "short, save the model anew: model.save('model.keras')."
        ) from error


def _what_it_holds(path: Path, where: str) -> tuple[str, str]:
    """The version of Keras that saved a file, and the text of the model's configuration."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json").decode()
                metadata = json.loads(archive.read("metadata.json"))
            return str(metadata.get("keras_version", "3")), config
        if path.is_file() and h5py.is_hdf5(path):
            with h5py.File(path) as file:
                if "model_config" not in file.attrs:
                    raise UnsupportedModelError(
                        f"{where}: {str(path)!r} holds weights but no model.\n  Fix: "
                        "build the model in Keras 3, call model.load_weights(path), and "
                        "give the model."
                    )
                version = str(file.attrs.get("keras_version", "2"))
                return version, _text(file.attrs["model_config"])
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise UnsupportedModelError(
            f"{where}: {str(path)!r} is damaged or cut short: {error}\n"
            "  Fix: save or copy it anew; a .keras file is a zip archive with "
            "config.json, metadata.json and model.weights.h5."
        ) from error
    kind = "a folder" if path.is_dir() else "neither a zip archive nor an HDF5 file"
    raise UnsupportedModelError(
        f"{where}: {str(path)!r} is {kind}, so no model that Keras 3 saved, or one that "
        "was cut short.\n  Fix: save it anew as .keras: model.save('model.keras')."
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
