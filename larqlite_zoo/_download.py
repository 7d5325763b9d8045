"""Fetches published files: checked, retried, continued where they were cut off."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from larqlite.errors import DownloadError, MissingFileError
from larqlite.outputs import sha256_of, sha256_of_stream
from larqlite_zoo._cache import (
    CACHE_VARIABLE,
    cache_directory,
    partial_file,
    publish,
)
from larqlite_zoo._card import PACKAGE_URL, WeightFile

TRIES = 3
STALL_SECONDS = 20.0
PAUSE_SECONDS = 1.0
# The folder `weights/` of the repository.
CHECKOUT = Path(__file__).resolve().parent.parent / "weights"
_WORTH_ANOTHER_TRY = (408, 425, 429)


def fetch(
    file: WeightFile,
    model: str,
    *,
    tries: int | None = None,
    stall_seconds: float | None = None,
    pause_seconds: float | None = None,
) -> Path:
    """The path of a published file, fetched unless it is in the cache.

    Every file is checked against its SHA-256, cached ones too; one that does not
    agree is never returned and never gets the final name. A download that was cut
    off goes on where it stopped, if the server can do that.

    Args:
        file: its address and its checksum.
        model: registered name, the folder inside of the cache.
        tries: how often to ask the server.
        stall_seconds: how long to wait for the next byte.
        pause_seconds: before the second try; twice as long before each further one.

    Raises:
        DownloadError: the file could not be fetched, is not what was published, or lies in
            a package that is not installed; the message says what to do by hand.
        MissingFileError: a `file://` address that leads nowhere.
    """
    if file.url == PACKAGE_URL:
        return _of_package(file, model)
    if urllib.parse.urlsplit(file.url).scheme == "file":
        return _checked(path_of_url(file.url), file, model)
    target = cache_directory() / model / file.name
    rejected = ""
    if target.is_file():
        found = sha256_of(target)
        if found == file.sha256.lower():
            return target
        rejected = f"  The file in the cache is damaged (SHA-256 {found}).\n"
    with _names_the_cache(target), partial_file_in(target) as (partial, path):
        reason = _receive_checked(
            partial,
            file,
            TRIES if tries is None else tries,
            STALL_SECONDS if stall_seconds is None else stall_seconds,
            PAUSE_SECONDS if pause_seconds is None else pause_seconds,
        )
        if not reason:
            publish(partial, path, target)
            return target
    raise DownloadError(
        f'{model}: the weights "{file.name}" could not be fetched from\n  {file.url}\n'
        f"  ({reason})\n{rejected}"
        f"  Fix: fetch it where there is a network and put it at\n  {target}\n"
        f"  Check: `sha256sum {target}` says {file.sha256}.\n"
        f"  Another folder for such files: the variable {CACHE_VARIABLE}."
    )


def folders_of_weights() -> list[Path]:
    """Where files trained here may lie: the installed package, and this checkout."""
    spec = importlib.util.find_spec("larqlite_zoo_weights")
    installed = (spec and spec.submodule_search_locations) or ()
    return [*map(Path, installed), CHECKOUT]


def path_of_url(url: str) -> Path:
    """The path that a `file://` address means."""
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))


@contextlib.contextmanager
def partial_file_in(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """`partial_file` in a folder that is made if needed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(target) as opened:
        yield opened


def _receive_checked(
    partial: BinaryIO, file: WeightFile, tries: int, stall: float, pause: float
) -> str:
    """Fills the partial file; returns "" once its checksum agrees, or what went wrong."""
    if partial.seek(0, 2) and sha256_of_stream(partial) == file.sha256.lower():
        return ""
    reason = "no try was made"
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with _progress(file.name) as show:
                _receive(partial, file.url, stall, show)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code < 500 and error.code not in _WORTH_ANOTHER_TRY:
                return reason
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except TimeoutError:
            reason = f"nothing arrived for {stall:g} seconds"
        except (ConnectionError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            found = sha256_of_stream(partial)
            if found == file.sha256.lower():
                return ""
            reason = f"what arrived has the SHA-256 {found}, not {file.sha256}"
            partial.truncate(0)
    return f"{reason}; tried {tries} times" if tries > 1 else reason


def _receive(
    partial: BinaryIO, url: str, stall: float, show: Callable[[int, int | None], None]
) -> None:
    """Appends to the partial file what it still lacks, or fills it anew."""
    have = partial.seek(0, 2)
    request = urllib.request.Request(url, headers={"User-Agent": "larqlite_zoo"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with _as_connection_errors():
            response = urllib.request.urlopen(request, timeout=stall)
    except urllib.error.HTTPError as error:
        if not (have and error.code == 416):  # nothing follows what we have
            raise
        error.close()
        partial.truncate(0)
        return _receive(partial, url, stall, show)
    with response:
        if have and not _goes_on_at(have, response):
            have = 0
            partial.truncate(0)
            if response.status == 206:
                raise ConnectionError("the server sent another part than asked for")
        partial.seek(have)
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        show(have, total)
        while chunk := _next_chunk(response):
            partial.write(chunk)
            have += len(chunk)
            show(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")
    return None


def _goes_on_at(have: int, response: http.client.HTTPResponse) -> bool:
    content_range = response.headers.get("Content-Range", "")
    return response.status == 206 and content_range.startswith(f"bytes {have}-")


def _next_chunk(response: http.client.HTTPResponse) -> bytes:
    with _as_connection_errors():
        return response.read1(1 << 16)


@contextlib.contextmanager
def _as_connection_errors() -> Iterator[None]:
    """Tells what the network raises apart from what the disk raises."""
    try:
        yield
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise ConnectionError(str(error)) from error


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda have, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda have, total: progress.update(task, completed=have, total=total)


@contextlib.contextmanager
def _names_the_cache(target: Path) -> Iterator[None]:
    """Says which folder it was that cannot be written, and how to choose another."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{target.parent}: a fetched file cannot be written here ({error}).\n"
            f"  Fix: room and permission there, or another folder in the variable "
            f"{CACHE_VARIABLE}."
        ) from error


def _checked(path: Path, file: WeightFile, model: str) -> Path:
    if not path.is_file():
        raise MissingFileError(f"{model}: there is no file {path} ({file.url}).")
    found = sha256_of(path)
    if found != file.sha256.lower():
        raise DownloadError(
            f"{model}: {path} is not the published file: its SHA-256 is {found}, "
            f"not {file.sha256}."
        )
    return path


def _of_package(file: WeightFile, model: str) -> Path:
    folders = folders_of_weights()
    there = [folder / file.name for folder in folders if (folder / file.name).is_file()]
    for path in there:  # an older package may lie in front of the right file
        if sha256_of(path) == file.sha256.lower():
            return path
    if there:
        raise DownloadError(
            f"{model}: {there[0]} is not the published file: its SHA-256 is "
            f"{sha256_of(there[0])}, not {file.sha256}.\n"
            "  Fix: pip install --upgrade larqlite-zoo-weights"
        )
    has_it = len(folders) > 1
    raise DownloadError(
        f'{model}: weights="{file.dataset}" are the file "{file.name}" of the package '
        f"larqlite-zoo-weights, which {'lacks it' if has_it else 'is not installed'}.\n"
        f"  Fix: pip install {'--upgrade ' if has_it else ''}larqlite-zoo-weights; or "
        "weights=None, or the path of a file."
    )
