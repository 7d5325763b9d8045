"""What a search has found so far, in a file, so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import outputs
from larqlite.errors import ArgumentError

__all__ = ["SearchState", "fingerprint"]

_NAME = "search.json"


class SearchState:
    """Numbers by keys, written to a folder after each that is new.

    Args:
        folder: where; None keeps them in memory.
        about: what the numbers are of.
        where: the public function, for messages.

    Raises:
        ArgumentError: the folder holds numbers of something else.
    """

    def __init__(self, folder: Path | None, about: dict[str, Any], where: str) -> None:
        self._path = None if folder is None else folder / _NAME
        self._content: dict[str, Any] = {"about": about, "measured": {}, "points": {}}
        if self._path is None:
            return
        found = outputs.record_of(self._path)
        if not found and self._path.exists():
            raise ArgumentError(
                f"{where}: {self._path} is there, and no search wrote it.\n"
                "  Fix: another folder."
            )
        if found and found.get("about") != about:
            differs = sorted(
                key
                for key in {*about, *found.get("about", {})}
                if about.get(key) != found.get("about", {}).get(key)
            )
            raise ArgumentError(
                f"{where}: {self._path} is of a search with another "
                f"{', '.join(differs)}.\n"
                "  Fix: another folder, or the same model, data and arguments as before."
            )
        self._content |= found
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def measured(self) -> dict[str, float]:
        """What single layers take, by key."""
        return self._content["measured"]

    def get(self, key: str) -> Any:
        """What is kept under a key; None if nothing is."""
        return self._content["points"].get(key)

    def put(self, key: str, value: Any) -> None:
        """Keeps a value of JSON under a key, and writes the file."""
        self._content["points"][key] = value
        self.write()

    def write(self) -> None:
        """Writes the file, if there is a folder; what was there stays if that fails."""
        if self._path is not None:
            outputs.write_json(self._content, self._path)


def fingerprint(model: tf_keras.Model, *data: Any) -> str:
    """A hash of the weights of a model, and of arrays."""
    digest = hashlib.sha256()
    digest.update(json.dumps(model.get_config(), default=str, sort_keys=True).encode())
    for array in (*model.get_weights(), *tf.nest.flatten(data)):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
