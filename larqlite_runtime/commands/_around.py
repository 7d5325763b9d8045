"""What every command does around its work: how it ends, how counts are refused."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from larqlite_runtime import progress, start
from larqlite_runtime._errors import InputError, RuntimeModelError

MOST_THREADS = 1024


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
        named = str(error).startswith(f"{program} ")
        print(f"{'' if named else f'{program}: '}{error}", file=sys.stderr)
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
    return isinstance(error, (RuntimeModelError, OSError, *kinds))


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
