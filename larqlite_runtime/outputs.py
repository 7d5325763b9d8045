"""Files that are written: refused before the work if need be, then whole or not at all.

Every command and function of larqlite that writes a file asks `require` first and writes
within `written_whole`. Packages above this one name their own errors.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from larqlite_runtime._errors import InputError

ONNX = (".onnx",)
TFLITE = (".tflite",)
KERAS = (".keras", ".h5")
ARRAYS = (".npz", ".npy")
JSON = (".json",)

# How files of these endings begin, from a byte on.
_BEGINNINGS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".onnx": (0, (b"\x08",)),  # the number of the format is the first field
    ".tflite": (4, (b"TFL3",)),
    ".lqflat": (0, (b"\x89LQFLAT\n",)),
    ".keras": (0, (b"PK",)),
    ".h5": (0, (b"\x89HDF",)),
    ".npz": (0, (b"PK",)),
    ".npy": (0, (b"\x93NUMPY",)),
    ".png": (0, (b"\x89PNG",)),
    ".pdf": (0, (b"%PDF",)),
    ".svg": (0, (b"<?xml", b"<svg", b"<!DOCTYPE svg")),
    ".json": (0, (b"{", b"[")),
    # Programs and libraries of a user's own are never written over.
    **dict.fromkeys((".c", ".h", ".ino"), (0, (b"/* Written by larqlite:",))),
    **dict.fromkeys((".properties", ".txt"), (0, (b"# Written by larqlite:",))),
}
# What matplotlib says of itself near the beginning of a picture.
_DRAWN = b"matplotlib"
_LOOKED_AT = 4096
# Letters of a name that is too long.
_SHOWN = 200


def require(
    path: str | os.PathLike,
    suffixes: Sequence[str],
    where: str,
    *,
    read: Sequence[Any] = (),
    default_of: str | None = None,
    makes_folder: bool = False,
    refused: type[Exception] = InputError,
    missing: type[Exception] = InputError,
) -> Path:
    """The path of a file that may be written, or an error before anything is done.

    A file that is there is replaced only if its content is of the kind that its ending
    says (or it is empty), and never if the name is a default that nobody gave. The one
    exception are pictures that matplotlib drew.

    Args:
        path: of the file.
        suffixes: the endings that it may have; the first one is proposed.
        where: the command or function, for messages.
        read: files and SavedModel folders that the same call reads; None and names of
            nothing are passed over.
        default_of: the option that names the file, if the user did not give it.
        makes_folder: whether folders that are missing will be made.
        refused: the class of errors.
        missing: the same where there is no such file or folder.

    Returns:
        The path.

    Raises:
        refused: `path` is no path; is read too, by this or another name (a link, another
            spelling), or lies in a folder that is; has another ending; is a device,
            write-protected, or holds something of another kind; or nothing can be
            written to its folder.
        missing: there is no folder for it, or it is one.

    Example:
        >>> require("net.txt", (".onnx",), "lq export")
        Traceback (most recent call last):
        larqlite_runtime._errors.InputError: lq export: "net.txt" does not end in .onnx.
          Fix: net.onnx
    """
    try:
        path = Path(os.fsdecode(path))
        if "\0" in str(path):
            raise ValueError("it has a zero byte")
    except (TypeError, ValueError) as error:
        raise refused(
            f"{where}: {path!r} is no path of a file ({error}).\n"
            f'  Fix: a name, such as "model{suffixes[0]}".'
        ) from error
    try:
        _require(
            path, suffixes, where, read, default_of, makes_folder, refused, missing
        )
    except OSError as error:
        if isinstance(error, (refused, missing)):
            raise
        raise refused(
            f'{where}: "{str(path)[:_SHOWN]}" cannot be written ({error.strerror}).\n'
            "  Fix: another name, or another folder."
        ) from error
    return path


def _require(
    path, suffixes, where, read, default_of, makes_folder, refused, missing
) -> None:
    _refuse_what_is_read(path, suffixes, where, read, refused)
    if path.is_dir():
        raise missing(
            f'{where}: "{path}" is a folder.\n'
            f"  Fix: name a file in it, such as {path / f'model{suffixes[0]}'}"
        )
    if not _fits(path, suffixes):
        raise refused(
            f'{where}: "{path}" does not end in {" or ".join(suffixes)}.\n'
            f"  Fix: {renamed(path, suffixes[0])}"
        )
    _refuse_what_is_there(path, where, default_of, refused)
    _require_folder(path, where, makes_folder, refused, missing)


def require_picture(path: Any, where: str, **options: Any) -> Path:
    """`require` for a picture, of the formats that matplotlib writes.

    Raises:
        refused, missing: as `require` does; also where there is no matplotlib.
    """
    refused = options.get("refused", InputError)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise refused(
            f"{where}: matplotlib, which draws, is not installed here.\n"
            "  Fix: pip install matplotlib"
        ) from error
    known = FigureCanvasBase.get_supported_filetypes()
    suffix = Path(path).suffix if isinstance(path, (str, Path)) else ".png"
    if suffix.lower().removeprefix(".") not in known:
        raise refused(
            f'{where}: cannot write "{path}": matplotlib does not know the format '
            f'"{suffix}".\n  Fix: a file name ending in .png, .svg or .pdf.'
        )
    suffixes = (".png", *(f".{name}" for name in known))
    return require(path, suffixes, where, makes_folder=True, **options)


@contextlib.contextmanager
def written_whole(path: Path, name: str | None = None) -> Iterator[Path]:
    """A name to write to; afterwards the file is at `path`, or what was there before.

    The name has the ending of `path` and lies beside it. A link is written through.

    Args:
        path: of the file.
        name: the name, where one process writes at a time: what it leaves when it is
            killed is written over the next time. By default no process has had it.

    Raises:
        OSError: the disk is full, for one; `filename` is `path`.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(name) if name else _new_file(target)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        full = os.strerror(errno.ENOSPC)
        if isinstance(error, OSError):
            # What says where: a failed `write` knows no name, and ours is gone again.
            is_systems = type(error) is OSError and error.errno is not None
            if is_systems and error.filename in (None, str(temporary)):
                error.filename = str(path)
        elif full in str(error):  # HDF5 has its own
            raise OSError(errno.ENOSPC, full, str(path)) from error
        raise


def _refuse_what_is_read(path: Path, suffixes, where: str, read, refused) -> None:
    """By whatever name: links, other spellings, and names in a folder that is read."""
    places = set()
    for place in (Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))):
        places |= {place, *place.parents}
    for source in read:
        if source is None or not os.path.exists(source):
            continue
        is_folder = os.path.isdir(source)
        if is_folder and not os.path.exists(os.path.join(source, "saved_model.pb")):
            continue  # no model, as what reads it will say
        beside = path if is_folder else Path(os.path.realpath(path))
        candidates = places if is_folder else (path, beside)
        if any(each.exists() and os.path.samefile(each, source) for each in candidates):
            other = renamed(Path(source), suffixes[0]).stem
            proposed = Path(source).absolute().parent if is_folder else path.parent
            proposed = proposed / f"{other}{suffixes[0]}"
            if os.path.exists(proposed):
                proposed = proposed.with_name(f"{other}_2{suffixes[0]}")
            as_what = "" if not is_folder else f" (it lies in {source})"
            raise refused(
                f'{where}: "{path}" is read{as_what}, and must not be written over.\n'
                f"  Fix: another name, such as {_short(proposed)}"
            )


def _refuse_what_is_there(
    path: Path, where: str, default_of: str | None, refused
) -> None:
    if not os.path.lexists(path) or not path.exists():
        return
    if not path.is_file():
        raise refused(f'{where}: "{path}" is no regular file.\n  Fix: another name.')
    status = path.stat()
    if not status.st_mode & 0o222:
        raise refused(
            f'{where}: "{path}" is write-protected.\n'
            f"  Fix: another name; or chmod u+w {path}"
        )
    if not status.st_size:
        return
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    drawn = _DRAWN in start.lower()
    if default_of and not drawn:
        raise refused(
            f'{where}: "{path}" is there already, and is not written over unless you '
            f"name it.\n  Fix: {default_of} {path}, or another name."
        )
    suffix = path.suffix.lower()
    offset, beginnings = _BEGINNINGS.get(suffix, (0, ()))
    if beginnings and not start[offset:].lstrip().startswith(beginnings):
        raise refused(
            f'{where}: "{path}" is there already, but is no {suffix} file, and is not '
            "written over.\n  Fix: another name."
        )


def _require_folder(path: Path, where: str, makes_folder, refused, missing) -> None:
    """Asserts that a file can be made where `path` is, by making one."""
    target = Path(os.path.realpath(path))
    folder = target.parent
    if makes_folder:
        folder = next(each for each in target.parents if os.path.lexists(each))
    if not folder.is_dir():
        if folder.exists():
            said, fix = f'"{folder}" is no folder', "another path."
        else:
            said, fix = f'there is no folder "{path.parent}"', f"mkdir -p {path.parent}"
        raise missing(f'{where}: {said} for "{path.name}".\n  Fix: {fix}')
    try:
        _new_file(folder / target.name).unlink()
    except OSError as error:
        raise refused(
            f'{where}: nothing can be written to the folder "{_short(folder)}" '
            f"({error.strerror}).\n  Fix: another folder."
        ) from error


def _new_file(target: Path) -> Path:
    """An empty file beside `target`, with its ending and the rights of a new file."""
    made = target.with_name(f".{secrets.token_hex(8)}{target.suffix.lower()}")
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return made


def _fits(path: Path, suffixes: Sequence[str]) -> bool:
    """Keras looks at the letters of its endings; others may be in capitals."""
    suffix = path.suffix
    return (suffix if suffix.lower() in KERAS else suffix.lower()) in suffixes


def renamed(path: Path, suffix: str) -> Path:
    """`path` with another ending, also where it is "." or "/".

    >>> renamed(Path("runs/net.keras"), ".onnx").as_posix()
    'runs/net.onnx'
    >>> renamed(Path("/"), ".onnx").as_posix()
    '/model.onnx'
    """
    if path.name in ("", ".."):
        path = path.resolve()
    return path.with_suffix(suffix) if path.name else path / f"model{suffix}"


def _short(path: Path) -> Path:
    """As seen from the present folder, if it lies in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
