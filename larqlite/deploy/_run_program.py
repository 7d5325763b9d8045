"""Runs other programs, such as compilers, emulators and Node: what ends badly is said by name."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from larqlite.errors import MissingFileError, UnsupportedModelError

# Seconds that a compiler, or a network that runs elsewhere, may take; a machine may be busy.
PATIENCE = 600


def run_program(
    command: Sequence[str | os.PathLike],
    where: str,
    fix: str,
    *,
    folder: Path | None = None,
    patience: float = PATIENCE,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever its exit code is.

    Args:
        command: the program and its words.
        where: what messages begin with.
        fix: what helps where it takes too long.
        folder: that it works in; the working directory by default.
        patience: seconds after which it is stopped, with the programs that it runs.

    Returns:
        Its exit code and what it printed; `how_it_ended` puts the code in words.

    Raises:
        MissingFileError: it does not start.
        UnsupportedModelError: it took longer than `patience`.

    >>> run_program(["echo", "ready"], "here", "").stdout
    'ready\\n'
    >>> run_program(["sleep", "9"], "here", "wake it.", patience=0.01)
    Traceback (most recent call last):
        ...
    larqlite.errors.UnsupportedModelError: here: sleep was stopped after 0.01 seconds.
      Fix: wake it.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise MissingFileError(
            f"{where}: {command[0]} does not start: {error.strerror}.\n"
            "  Fix: install it, or what it is a part of, anew."
        ) from error
    with process:
        try:
            printed = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            _stop(process)
            name = Path(command[0]).name
            raise UnsupportedModelError(
                f"{where}: {name} was stopped after {patience:g} seconds.\n  Fix: {fix}"
            ) from error
        except BaseException:
            _stop(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, *printed)


def how_it_ended(done: subprocess.CompletedProcess) -> str:
    """How a program ended, in words.

    >>> how_it_ended(run_program(["sh", "-c", "exit 3"], "here", ""))
    'ended with code 3'
    >>> how_it_ended(run_program(["sh", "-c", "kill -9 $$"], "here", ""))
    'was killed by SIGKILL, as where there is too little memory'
    """
    if done.returncode >= 0:
        return f"ended with code {done.returncode}"
    name = signal.Signals(-done.returncode).name
    memory = ", as where there is too little memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{memory}"


def _stop(process: subprocess.Popen) -> None:
    """Ends a program and what it started: a compiler, for one, is several programs."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
