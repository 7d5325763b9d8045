"""`larqlite_runtime.outputs` with the errors of larqlite: for everything that writes a file,
and the SHA-256 that says whether one is what was written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime import outputs
from larqlite_runtime.outputs import JSON, KERAS, ONNX, TFLITE, renamed, written_whole

__all__ = [
    "JSON",
    "KERAS",
    "ONNX",
    "TFLITE",
    "record_of",
    "renamed",
    "require",
    "save_model",
    "sha256_of",
    "sha256_of_stream",
    "write_json",
    "written_whole",
]


def require(
    path: str | os.PathLike,
    suffixes: Sequence[str],
    where: str,
    *,
    read: Sequence[Any] = (),
    default_of: str | None = None,
    makes_folder: bool = False,
) -> Path:
    """The path of a file that may be written; see `larqlite_runtime.outputs.require`.

    Raises:
        ArgumentError: it must not be written.
        MissingFileError: there is no folder for it.

    Example:
        >>> from larqlite.outputs import ONNX, require
        >>> require("net.onnx", ONNX, "lq export").name
        'net.onnx'
    """
    return outputs.require(
        path,
        suffixes,
        where,
        read=read,
        default_of=default_of,
        makes_folder=makes_folder,
        refused=ArgumentError,
        missing=MissingFileError,
    )


def save_model(model: Any, path: Path) -> None:
    """Saves a Keras model to `.keras` or `.h5`; what was there stays if that fails."""
    with written_whole(path) as temporary:
        model.save(temporary, save_format="h5" if path.suffix == ".h5" else None)


def write_json(content: Any, path: Path) -> None:
    """Writes indented JSON; what was there stays if that fails."""
    with written_whole(path) as temporary:
        text = json.dumps(content, indent=2)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def record_of(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no such file or object.

    What tells a folder that an earlier run has filled from a user's own files.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return sha256_of_stream(file)


def sha256_of_stream(file: BinaryIO) -> str:
    """The SHA-256 of an open file, from its beginning."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
