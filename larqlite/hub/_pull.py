"""`pull`: the files of a pushed network, all of them checked, or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from larqlite import models
from larqlite.errors import ArgumentError, DownloadError
from larqlite.hub._hub_client import client, errors_as
from larqlite.hub._manifest import FILES, KERAS, NAME, PACKED, read_manifest
from larqlite.outputs import sha256_of

if TYPE_CHECKING:
    import tf_keras

    import larqlite_runtime

WHERE = "lq.hub.pull"


@dataclass(frozen=True)
class Pulled:
    """A network in a folder, as `lq.hub.pull` left it.

    Attributes:
        folder: with the files.
        commit: the hash of the commit that they are of.
    """

    folder: Path
    commit: str

    @property
    def onnx(self) -> Path:
        """The packed file."""
        return self.folder / PACKED

    @property
    def keras(self) -> Path:
        """The file of the Keras model."""
        return self.folder / KERAS

    def model(self) -> tf_keras.Model:
        """The Keras model, loaded by `lq.models.load`, which runs no code of the file."""
        return models.load(self.keras)

    def packed(self, **options) -> larqlite_runtime.Model:
        """The packed file, loaded by `larqlite_runtime.load(path, **options)`."""
        import larqlite_runtime

        return larqlite_runtime.load(self.onnx, **options)


def pull(
    repo_id: str,
    folder: str | os.PathLike | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
) -> Pulled:
    """Fetches what `lq.hub.push` pushed, and checks the SHA-256 of every file.

    The files are fetched beside the folder, and get their place together when all of them
    are right; otherwise nothing changes. Needs `pip install "larqlite[hub]"`.

    Args:
        repo_id: `"owner/name"`.
        folder: a new or empty folder, or that of an earlier pull, which is replaced; by
            default the repository's name, in the present folder.
        revision: a branch, tag or commit; the newest commit by default.
        token: for private repositories; as in `lq.hub.push`.

    Returns:
        The folder, with ways to load what is in it.

    Raises:
        ArgumentError: `repo_id` is no name, or the folder holds something else.
        DownloadError: there is no such repository or revision, it was not pushed by
            larqlite, the network or the server failed, or a file is not what was pushed.
        MissingFileError: huggingface_hub is not installed.

    Example:
        >>> lq.hub.pull("me/net").packed()  # doctest: +SKIP
    """
    api = client(WHERE, repo_id, token, needs_token=False)
    target = _require_folder(folder, repo_id)
    state = "Nothing was written."
    with _beside(target) as work:
        fetched = Path(work) / "fetched"
        with errors_as(DownloadError, WHERE, repo_id, api, state):
            commit = api.model_info(repo_id, revision=revision).sha
            _fetch_checked(api, repo_id, commit, fetched)
        shutil.rmtree(fetched / ".cache", ignore_errors=True)
        _put(fetched, target, Path(work) / "earlier")
    return Pulled(target, commit)


def _beside(target: Path) -> tempfile.TemporaryDirectory:
    try:
        return tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent)
    except OSError as error:
        raise ArgumentError(
            f"{WHERE}: nothing can be written in {target.parent} ({error.strerror}).\n"
            "  Fix: another folder."
        ) from error


def _put(fetched: Path, target: Path, earlier: Path) -> None:
    """Puts what was fetched in its place; what was there comes back if that fails."""
    is_there = target.exists()
    try:
        if is_there:
            target.rename(earlier)
        fetched.rename(target)
    except OSError as error:
        if earlier.exists():
            earlier.rename(target)
        raise DownloadError(
            f"{WHERE}: {target} cannot be written ({error.strerror}). Nothing was "
            "written.\n  Fix: another folder."
        ) from error


def _fetch_checked(api, repo_id: str, commit: str, folder: Path) -> None:
    def fetch(name: str) -> Path:
        return Path(
            api.hf_hub_download(repo_id, name, revision=commit, local_dir=folder)
        )

    from huggingface_hub.errors import EntryNotFoundError

    where = f"{WHERE}: {repo_id} at {api.endpoint}"
    try:
        expected = read_manifest(fetch(NAME), where)
        for name in FILES:
            found = sha256_of(fetch(name))
            if found != expected[name].lower():
                raise DownloadError(
                    f"{where}: {name} is not the file that was pushed: its SHA-256 is "
                    f"{found}, and {NAME} says {expected[name]}. Nothing was written.\n"
                    "  Fix: pull again; if it stays so, push the model again with "
                    "lq.hub.push."
                )
    except EntryNotFoundError as error:
        raise DownloadError(
            f"{where}: it lacks a file of a network that lq.hub.push pushed ({NAME}, "
            f"{', '.join(FILES)}). Nothing was written.\n"
            "  Fix: huggingface_hub.snapshot_download fetches repositories of any kind."
        ) from error


def _require_folder(folder, repo_id: str) -> Path:
    try:
        name = repo_id.rpartition("/")[2] if folder is None else os.fsdecode(folder)
    except TypeError as error:
        raise ArgumentError(
            f"{WHERE}: folder={folder!r} is a {type(folder).__name__}, no path.\n"
            '  Fix: a name, e.g. "net".'
        ) from error
    target = Path(name).absolute()
    here = Path.cwd().resolve()
    if target.resolve() in (here, *here.parents):
        raise ArgumentError(
            f"{WHERE}: folder={str(folder)!r} is the present folder, or one around it, "
            'which cannot be replaced.\n  Fix: a name in it, e.g. "net".'
        )
    if target.exists() and not target.is_dir():
        raise ArgumentError(
            f"{WHERE}: {target} is a file.\n  Fix: the name of a folder."
        )
    others = sorted(
        {p.name for p in target.iterdir()} - {NAME, *FILES} if target.is_dir() else ()
    )
    if others:
        raise ArgumentError(
            f"{WHERE}: the folder {target} holds {', '.join(others[:3])}, which would be "
            'lost.\n  Fix: another folder, as in pull(..., folder="another").'
        )
    if not target.parent.is_dir():
        raise ArgumentError(
            f"{WHERE}: there is no folder {target.parent}.\n  Fix: make it first."
        )
    return target
