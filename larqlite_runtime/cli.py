"""The command `lq`: `lq run` and `lq benchmark` by themselves, the others out of larqlite."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from larqlite_runtime.commands import (
    COMMANDS,
    PARSERS,
    ZOO_COMMANDS,
    BenchmarkOptions as Benchmark,
    RunOptions as Run,
    run_lq,
    run_lqz,
)

__all__ = [
    "COMMANDS",
    "PARSERS",
    "ZOO_COMMANDS",
    "Benchmark",
    "Run",
    "main",
    "parse",
    "zoo",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lq`.

    `lq run` and `lq benchmark FILE` need NumPy and ONNX Runtime alone; the words of other
    commands are read first, then `larqlite` is imported, and with it TensorFlow.

    Args:
        arguments: the words after `lq`; those of the process by default.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    run_lq(arguments, _larqlite_cli)


def zoo(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lqz`, whose help and version need no TensorFlow.

    Args and Raises: as of `main`.
    """
    run_lqz(arguments, _zoo_cli)


def parse(arguments: Sequence[str]) -> Run:
    """The options that the words after `lq run` stand for.

    Raises:
        SystemExit: with code 2 after a mistake, with 0 after `--help`.

    Example:
        >>> parse(["net.onnx", "--data", "x.npy", "--threads", "1"]).threads
        1
    """
    return PARSERS["run"](arguments)


def _larqlite_cli() -> ModuleType:
    from larqlite import cli

    return cli


def _zoo_cli() -> ModuleType:
    from larqlite_zoo import cli

    return cli
