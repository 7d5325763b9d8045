"""The file of a model, which a forked or pickled model needs a second time."""

from __future__ import annotations

import os
from pathlib import Path

from larqlite_runtime import _file
from larqlite_runtime._errors import ModelFileError
from larqlite_runtime._graph import Graph


class Source:
    """Reads a file, and the same file again."""

    def __init__(self, path_or_bytes, budget: int) -> None:
        self._budget = budget
        self._bytes = path_or_bytes
        self._path: Path | None = None
        if not isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
            self._path = path_or_bytes
        self._seen: tuple | None = None

    def __call__(self) -> Graph:
        self._require_same()
        graph = _file.read(self._bytes, budget=self._budget)
        if self._path is not None:
            self._seen = self._state()
        return graph

    def data(self) -> bytes:
        """The bytes of the file."""
        if self._path is None:
            return bytes(self._bytes)
        self._require_same()
        return Path(self._path).read_bytes()

    def _state(self) -> tuple | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _require_same(self) -> None:
        if self._seen is not None and self._state() != self._seen:
            raise ModelFileError(
                f"{self._path}: the file has changed since it was loaded; a forked or "
                "pickled model needs it again.\n  Fix: leave the file in place, or load "
                "the model from its bytes."
            )
