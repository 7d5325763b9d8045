"""The words after `lq run`, `lq benchmark` and `lq explain`, read without any package of others."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from larqlite_runtime._errors import InputError
from larqlite_runtime.commands import _benchmark as benchmark, _run as run
from larqlite_runtime.commands._explain import ExplainOptions
from larqlite_runtime.commands._run import HELP
from larqlite_runtime.former_flags import FormerFlag, in_present_flags
from larqlite_runtime.names import near_matches

_FORMER = (FormerFlag("--batch", "--batch-size"),)


def _with_dashes(flag: re.Match) -> str:
    return flag[0].replace("_", "-")


class Parser(argparse.ArgumentParser):
    """An argument parser whose messages are those of this house."""

    def parse_args(self, args=None, namespace=None):
        """As in argparse, but for `--batch_size`, which all commands take; the words are
        kept for the message of a mistake."""
        words = [re.sub("^--[^=]+", _with_dashes, word) for word in args or ()]
        self.words = in_present_flags(self.prog, words, _FORMER)
        return super().parse_args(self.words, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises; a flag that there is not comes first, with the one that was probably
        meant, since what else is missing may follow from it."""
        known = tuple(self._option_string_actions)
        flags = [word.partition("=")[0] for word in self.words if word[:2] == "--"]
        for flag in flags:
            if not any(each.startswith(flag) for each in known):
                message = f"there is no flag {flag}.{near_matches(flag, known)}"
                break
        else:
            message += "."
        raise InputError(f"{self.prog}: {message}\n  Fix: {self.prog} --help")


def _run() -> Parser:
    parser = Parser(
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
        "--batch-size",
        dest="batch",
        type=int,
        metavar="COUNT",
        default=32,
        help=HELP["batch"],
    )
    parser.add_argument(
        "--precision", metavar="NAME", default="float32", help=HELP["precision"]
    )
    parser.add_argument("--engine", metavar="NAME", default="auto", help=HELP["engine"])
    parser.add_argument("--samples", type=int, metavar="COUNT", help=HELP["samples"])
    parser.add_argument("--profile", action="store_true", help=HELP["profile"])
    parser.add_argument("--json", action="store_true", help=HELP["json"])
    return parser


def _benchmark() -> Parser:
    parser = Parser(
        prog="lq benchmark",
        description="Measure how fast a deployed file runs, in turns with other engines. "
        "Needs no TensorFlow, but for --model.",
    )
    text = benchmark.HELP
    parser.add_argument("file", type=Path, metavar="FILE", help=HELP["file"])
    parser.add_argument("--model", type=Path, metavar="MODEL", help=text["model"])
    parser.add_argument(
        "--against", nargs="*", default=(), metavar="ENGINE", help=text["against"]
    )
    parser.add_argument("--threads", type=int, metavar="COUNT", help=text["threads"])
    parser.add_argument(
        "--batch-size",
        dest="batch",
        type=int,
        metavar="COUNT",
        default=1,
        help=text["batch"],
    )
    parser.add_argument(
        "--precision", metavar="NAME", default="float32", help=HELP["precision"]
    )
    parser.add_argument("--engine", metavar="NAME", default="auto", help=HELP["engine"])
    parser.add_argument("--seconds", type=float, default=1.0, help=text["seconds"])
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=text["output"]
    )
    parser.add_argument("--json", action="store_true", help=HELP["json"])
    parser.add_argument(
        "--import",
        dest="imports",
        nargs="*",
        default=(),
        metavar="MODULE",
        help=text["imports"],
    )
    parser.add_argument("--unsafe", action="store_true", help=text["unsafe"])
    return parser


def _explain() -> Parser:
    parser = Parser(
        prog="lq explain",
        description="Show how a deployed file runs: steps, what is fused into them, where "
        "tensors lie, what is computed in float and why. Needs no TensorFlow.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=HELP["file"])
    parser.add_argument(
        "--precision", metavar="NAME", default="float32", help=HELP["precision"]
    )
    parser.add_argument("--engine", metavar="NAME", default="auto", help=HELP["engine"])
    parser.add_argument("--json", action="store_true", help=HELP["json"])
    return parser


def parser_of(name: str) -> Parser:
    """The parser of a command's words.

    Args:
        name: of the command, such as "run".
    """
    return _COMMANDS[name][0]()


def _read(name: str, words: Sequence[str]) -> Any:
    build, kind = _COMMANDS[name]
    return kind(**vars(build().parse_args(words)))


_COMMANDS: dict[str, tuple[Callable[[], Parser], type]] = {
    "run": (_run, run.RunOptions),
    "benchmark": (_benchmark, benchmark.BenchmarkOptions),
    "explain": (_explain, ExplainOptions),
}
PARSERS: dict[str, Callable[[Sequence[str]], Any]] = {
    name: functools.partial(_read, name) for name in _COMMANDS
}
