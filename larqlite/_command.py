"""What every command does around its work: errors as messages, closed pipes, Ctrl-C."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from larqlite.errors import ArgumentError, LarqliteError
from larqlite_runtime import RuntimeModelError, _command


def run(
    program: str, arguments: Sequence[str], work: Callable[[Sequence[str]], None]
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
    mistakes = (LarqliteError, RuntimeModelError, OSError)
    _command.run(program, arguments, work, mistakes)


def import_modules(program: str, modules: Sequence[str]) -> None:
    """Imports modules of the present folder, or installed ones: `--import MODULE`.

    Raises:
        ArgumentError: there is no such module.
    """
    if modules and "" not in sys.path:
        sys.path.insert(0, "")
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in (module.split(".")[0], module):
                raise
            raise ArgumentError(
                f'--import {module}: there is no module "{error.name}" here.\n'
                f"  Fix: run {program} in the folder of the module, or install it."
            ) from error
