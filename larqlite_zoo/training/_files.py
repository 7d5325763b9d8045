"""The files of a run: written whole or not at all, and refused before training."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from larqlite.errors import LarqliteError


class OutputError(LarqliteError, OSError):
    """An output folder that cannot be written, or has too little space."""


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step: a reader sees the old text or the new one."""
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content) -> None:
    """Replaces the file by indented JSON."""
    write_text(path, json.dumps(content, indent=2, default=plain) + "\n")


def write(path: Path, writer: Callable[[Path], object]) -> None:
    """Calls `writer` with a temporary path of the same suffix, then moves it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        writer(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value):
    """NumPy numbers, paths and tuples as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    return list(value)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Makes sure that `needed` bytes can be written to `folder`, before hours of work.

    The bytes are reserved for a moment, so that quotas count too.

    Raises:
        OutputError: the folder cannot be made or written, or has too little space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, max(needed, 1))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutputError(
                f"{folder}: {what} need {needed / 2**20:.1f} MiB, and there is not so "
                f"much space ({error.strerror}).\n  Fix: free some, keep fewer "
                "checkpoints (--keep-checkpoints), or write elsewhere (--output)."
            ) from error
        if isinstance(error, (PermissionError, NotADirectoryError, FileExistsError)) or (
            error.errno == errno.EROFS
        ):
            raise OutputError(
                f"{folder}: cannot write there ({error.strerror}).\n"
                "  Fix: another folder (--output), or the rights to write to this one."
            ) from error
        raise
