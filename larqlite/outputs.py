"""`larqlite_runtime.outputs` with the errors of larqlite: for everything that writes a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime import outputs
from larqlite_runtime.outputs import JSON, KERAS, ONNX, TFLITE, renamed, written_whole

__all__ = ["JSON", "KERAS", "ONNX", "TFLITE", "renamed", "require", "written_whole"]


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
