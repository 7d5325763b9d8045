"""The manifest of a pushed network: which files belong to it, and their SHA-256."""

from __future__ import annotations

import json
from pathlib import Path

from larqlite._version import __version__
from larqlite.errors import DownloadError
from larqlite.outputs import sha256_of

NAME = "larqlite.json"
PACKED, KERAS = FILES = ("model.onnx", "model.keras")
_FORMAT = 1


def write_manifest(folder: Path) -> Path:
    """Writes the manifest of the files that are in a folder; returns its path."""
    files = {
        name: {"sha256": sha256_of(folder / name), "bytes": _size(folder / name)}
        for name in FILES
    }
    content = {"format": _FORMAT, "larqlite": __version__, "files": files}
    path = folder / NAME
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def read_manifest(path: Path, where: str) -> dict[str, str]:
    """The SHA-256 of each file.

    Raises:
        DownloadError: it is damaged, or of a format that this version does not know.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise DownloadError(
                f"{where}: its {NAME} has the format {content['format']!r}, and this "
                f"version of larqlite reads {_FORMAT}.\n"
                "  Fix: pip install --upgrade larqlite"
            )
        found = {name: content["files"][name]["sha256"] for name in FILES}
        for digest in found.values():
            if len(bytes.fromhex(digest)) != 32:
                raise ValueError(f"{digest} is no SHA-256")
    except (KeyError, TypeError, ValueError) as error:
        raise DownloadError(
            f"{where}: its {NAME} is damaged ({error}).\n"
            "  Fix: push the model again with lq.hub.push."
        ) from error
    return found


def _size(path: Path) -> int:
    return path.stat().st_size
