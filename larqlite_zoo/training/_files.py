"""The files of a run: written whole or not at all, locked, refused before training."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from larqlite.errors import LarqliteError
from larqlite.outputs import written_whole

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of some network file systems
NEARLY_FULL = 2**16


class OutputError(LarqliteError, OSError):
    """An output folder that cannot be written, has too little space, or is in use."""


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step: a reader sees the old text or the new one."""
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content) -> None:
    """Replaces the file by indented JSON."""
    write_text(path, json.dumps(content, indent=2, default=plain) + "\n")


def write(path: Path, writer: Callable[[Path], object]) -> None:
    """Calls `writer` with a temporary path of the same suffix, then moves it to `path`.

    The temporary name is always the same, so what a killed process leaves is overwritten
    by the next one. The content is on the disk before it gets its name.

    Raises:
        OutputError: there is no space, or no right to write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, f".part.{path.name}") as temporary:
            writer(temporary)
    except Exception as error:  # h5py raises RuntimeError for a full disk
        raise_if_full(path, error)
        raise


def raise_if_full(path: Path, error: Exception, advice: str = "") -> None:
    """Raises OutputError where `error`, met in writing `path`, is one of the disk."""
    number = getattr(error, "errno", None)
    if number in NOT_WRITABLE:
        raise _not_writable(path, error) from error
    told = os.strerror(errno.ENOSPC) in str(error)
    if number in NO_SPACE or told or _nearly_full(path.parent):
        raise OutputError(
            f"{path}: could not be written, the disk is full.\n"
            f"{advice}  Fix: free some space; the same command then goes on."
        ) from error


def plain(value):
    """NumPy numbers, paths and tuples as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    return list(value)


def require_space(folder: Path, needed: int, what: str, flag: str = "--output") -> None:
    """Makes sure that `needed` bytes can be written to `folder`, before hours of work.

    The bytes are reserved for a moment, so that quotas count too.

    Args:
        folder: made if it does not exist.
        needed: bytes.
        what: what needs them, in the plural.
        flag: the option that names another folder.

    Raises:
        OutputError: the folder cannot be made or written, or has too little space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, max(needed, 1))
    except OSError as error:
        if error.errno in NO_SPACE:
            raise OutputError(
                f"{folder}: {what} need {needed / 2**20:.1f} MiB, and there is not so "
                f"much space ({error.strerror}).\n  Fix: free some, keep fewer "
                f"checkpoints (--keep-checkpoints), or write elsewhere ({flag})."
            ) from error
        if error.errno in NOT_WRITABLE:
            raise _not_writable(folder, error, flag) from error
        raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from training into the folder; a killed one unlocks it.

    Raises:
        OutputError: another process does, or the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise_if_full(folder / ".lock", error)
        raise
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise OutputError(
                f"{folder}: another process is training there ({lock.read().strip()})."
                "\n  Fix: wait for it, stop it, or write elsewhere (--output)."
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        with contextlib.suppress(
            OSError
        ):  # a full disk is told by what needs the space
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
        yield


def require_seen(path: Path, patience: float = 30.0) -> None:
    """Makes sure that a file which another worker has written is there.

    Args:
        path: the file.
        patience: seconds that a network file system may take to show it.

    Raises:
        OutputError: it is not.
    """
    end = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > end:
            raise OutputError(
                f"{path}: the chief has written it, but this worker does not see it.\n"
                "  Fix: an output folder (--output) that all workers share."
            )
        time.sleep(0.1)


def bytes_of(folder: Path) -> int:
    """Bytes of the files in a folder; 0 where there is none."""
    sizes = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            sizes += path.stat().st_size
    return sizes


def _nearly_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < NEARLY_FULL
    except OSError:
        return False


def _not_writable(path: Path, error, flag: str = "--output") -> OutputError:
    return OutputError(
        f"{path}: cannot write there ({error.strerror}).\n"
        f"  Fix: another folder ({flag}), or the rights to write to this one."
    )
