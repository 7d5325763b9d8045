"""The file of a model, which a forked or pickled model needs a second time."""

from __future__ import annotations

import os

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.reader import _file


class ModelSource:
    """Reads a file, and the same file again, wherever the process has gone since.

    Attributes:
        budget: most bytes that the model may need.
    """

    def __init__(self, path_or_bytes, budget: int) -> None:
        self.budget = budget
        self._given = path_or_bytes
        self._path: str | bytes | None = None
        if isinstance(path_or_bytes, (bytearray, memoryview)):
            self._given = bytes(path_or_bytes)  # its owner may change it
        elif isinstance(path_or_bytes, (str, os.PathLike)):
            self._path = os.path.abspath(os.fspath(path_or_bytes))
        self._seen: tuple | None = None

    def __call__(self) -> CheckedGraph:
        self._require_same()
        graph = _file.read(self._given, budget=self.budget)
        if self._path is not None:
            self._given, self._seen = self._path, self._state()
        return graph

    def data(self) -> bytes:
        """The bytes of the file."""
        if self._path is None:
            return bytes(self._given)
        self._require_same()
        with open(self._path, "rb") as file:
            return file.read()

    def _state(self) -> tuple | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _require_same(self) -> None:
        if self._seen is not None and self._state() != self._seen:
            raise ModelFileError(
                f"{os.fsdecode(self._path)}: the file has changed since it was loaded; a forked or "
                "pickled model needs it again.\n  Fix: leave the file in place, or load "
                "the model from its bytes."
            )
