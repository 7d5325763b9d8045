"""What every command does around its work: how it ends, how counts are refused."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from larqlite_runtime import progress, start
from larqlite_runtime._errors import (
    InputError,
    MissingModelFileError,
    RuntimeModelError,
)

MOST_THREADS = 1024
# What helps where the system says no, by the number of its error.
_FULL = (
    "free space there, or name another disk; TMPDIR=FOLDER is where temporary files go."
)
_CLOSED = "another name or folder, or the right to use this one."
_SYSTEMS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
}


def run(
    program: str, arguments: Sequence[str], work: Callable[[Sequence[str]], Any]
) -> None:
    """Does the work of a command, and ends the process as a shell expects.

    Args:
        program: its name, which stands before a message.
        arguments: the words after it.
        work: takes the arguments.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    try:
        work(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; Python must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as interruption:
        start.nothing_is_left_to_do(is_said=True)
        print(f"{program}: stopped", file=sys.stderr)
        raise SystemExit(130) from interruption
    except Exception as error:
        if not _is_a_mistake(error):
            raise
        said = _said(error)
        named = said.startswith(f"{program} ")
        print(f"{'' if named else f'{program}: '}{said}", file=sys.stderr)
        raise SystemExit(2) from error
    finally:
        start.nothing_is_left_to_do(is_said=sys.exc_info()[0] is not None)


def load(import_all: Callable[[], None]) -> None:
    """Imports TensorFlow, with a line on a terminal; until it is done Ctrl-C ends the
    process at once.

    Args:
        import_all: imports it, and what needs it.
    """
    with open(os.dup(2), "w") as stream, progress.line("starting TensorFlow", stream):
        import_all()
    start.interruptions_are_errors()


def wrapped(begin: str, text: str) -> list[str]:
    """Lines as wide as the terminal, the second one indented below the text."""
    import textwrap

    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.wrap(
        text, width, initial_indent=begin, subsequent_indent=" " * len(begin)
    )


def _is_a_mistake(error: Exception) -> bool:
    """Whether it is one of the user's, and not of the program."""
    larqlite = sys.modules.get("larqlite.errors")
    kinds = (larqlite.LarqliteError,) if larqlite else ()
    return isinstance(error, (RuntimeModelError, OSError, MemoryError, *kinds))


def _said(error: Exception) -> str:
    """What a message says of an error: also of those of the system, which name no way out."""
    if isinstance(error, MemoryError):
        return (
            f"there is too little memory: {error or 'nobody says for what'}.\n"
            "  Fix: fewer samples at a time, a smaller model, or a machine with more."
        )
    fix = _SYSTEMS.get(getattr(error, "errno", None))
    if fix is None or "Fix:" in str(error):
        return str(error)
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror}.\n  Fix: {fix}"


def require_file(path: Path, where: str) -> None:
    """Refuses a path at which there is no deployed file.

    Raises:
        MissingModelFileError: there is nothing, or something else.
    """
    if path.is_file():
        return
    what, fix = f"there is no file {path}", f"lq export MODEL {path}"
    if path.exists():
        kind = "a folder" if path.is_dir() else "no regular file"
        what, fix = f"{path} is {kind}", "the path of the .onnx file itself."
    raise MissingModelFileError(f"{where}: {what}.\n  Fix: {fix}")


def require_counts(where: str, **values: int | None) -> None:
    """Refuses counts below 1, and more threads than any machine has."""
    for name, value in values.items():
        most = MOST_THREADS if name == "threads" else sys.maxsize
        if value is not None and not 1 <= value <= most:
            upto = f"from 1 to {most}" if name == "threads" else "from 1 up"
            raise InputError(
                f"{where}: --{name.replace('_', '-')} {value} is out of range.\n"
                f"  Fix: a number {upto}."
            )
