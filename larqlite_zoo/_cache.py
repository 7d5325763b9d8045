"""Where fetched files are kept, and the partial files that only one process writes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CACHE_VARIABLE = "LARQLITE_ZOO_CACHE"


def cache_directory() -> Path:
    """The folder of fetched files: `LARQLITE_ZOO_CACHE`, or the platform's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "larqlite_zoo"


@contextlib.contextmanager
def partial_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside `target` to download into, which no other process writes.

    What an earlier process left in it is kept, so that a download can go on. Locks
    keep two processes apart; they end with their process, however that ends. An
    empty file is removed again.
    """
    file, path = _open_for_us_alone(target)
    with file:
        try:
            yield file, path
        finally:
            if not file.closed and _is_still(file, path) and not file.seek(0, 2):
                path.unlink()


def publish(file: BinaryIO, path: Path, target: Path) -> None:
    """Gives a complete partial file its final name, in one step."""
    file.flush()
    os.fsync(file.fileno())
    if fcntl is None:
        file.close()  # Windows renames no open file; without locks it is ours alone
    os.replace(path, target)


def _open_for_us_alone(target: Path) -> tuple[BinaryIO, Path]:
    for number in range(100 if fcntl else 0):
        suffix = f".{number}.part" if number else ".part"
        path = target.with_name(target.name + suffix)
        try:
            file = _open_and_lock(path)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            break
        return file, path
    # Without locks (Windows, some network drives) nobody can take over what is left.
    handle, name = tempfile.mkstemp(".part", target.name + ".", target.parent)
    return os.fdopen(handle, "r+b"), Path(name)


def _open_and_lock(path: Path) -> BinaryIO:
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Before it was locked, the process before us may have renamed the file.
            if _is_still(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_still(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
