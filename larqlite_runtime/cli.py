"""The command `lq`: `lq run` by itself, everything else out of larqlite."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from larqlite_runtime._command import HELP, Options, run
from larqlite_runtime._errors import RuntimeModelError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lq`.

    `lq run` needs NumPy and ONNX Runtime alone; for other commands `larqlite` is
    imported, and with it TensorFlow.

    Args:
        arguments: the words after `lq`; those of the process by default.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] != ["run"]:
        from larqlite import cli

        cli.main(arguments)
        return
    run(
        "lq",
        arguments[1:],
        lambda words: parse(words).run(),
        (RuntimeModelError, OSError),
    )


def parse(arguments: Sequence[str]) -> Options:
    """The options that the words after `lq run` stand for.

    Raises:
        SystemExit: with code 2 after a mistake, with 0 after `--help`.

    Example:
        >>> parse(["net.onnx", "--data", "x.npy", "--threads", "1"]).threads
        1
    """
    parser = argparse.ArgumentParser(
        prog="lq run",
        description="Run a deployed model on data in a file. Needs no TensorFlow.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=HELP["file"])
    parser.add_argument(
        "--data", type=Path, metavar="FILE", required=True, help=HELP["data"]
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=HELP["output"]
    )
    parser.add_argument("--threads", type=int, metavar="COUNT", help=HELP["threads"])
    parser.add_argument(
        "--batch", type=int, metavar="COUNT", default=32, help=HELP["batch"]
    )
    parser.add_argument("--profile", action="store_true", help=HELP["profile"])
    return Options(**vars(parser.parse_args(arguments)))
