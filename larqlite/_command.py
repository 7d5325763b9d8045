"""What `lq` and `lqz` share: words become dataclasses, `--import MODULE`."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from larqlite.errors import ArgumentError, near_matches


def parsed(kind: Any, program: str, words: Sequence[str], **options: Any) -> Any:
    """A dataclass with what the words say.

    Args:
        kind: the class.
        program: what messages name.
        words: flags and their values.
        options: of `tyro.cli`.

    Raises:
        SystemExit: with code 2 after a mistake, with 0 after `--help`.
    """
    import tyro

    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    settings = {"prog": program, "config": config} | options
    try:
        with _without_colours():
            return tyro.cli(kind, args=words, **settings)
    except SystemExit as exit_:
        if exit_.code and (guess := _guess(kind, words, settings)):
            print(f"{program}:{guess}", file=sys.stderr)
        raise


@contextlib.contextmanager
def _without_colours() -> Iterator[None]:
    """Within the block, what is printed has no colours if NO_COLOR says so."""
    if not os.environ.get("NO_COLOR"):
        yield
        return
    printed, said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            yield
    finally:
        sys.stdout.write(printed.getvalue())
        sys.stderr.write(said.getvalue())


def _guess(kind: Any, words: Sequence[str], settings: dict[str, Any]) -> str:
    """What a flag or a command of the words may have been meant as; empty if unknown."""
    import tyro

    before = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    for path in (before, before[:-1], []):  # the last one may be a value, or mistyped
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                tyro.cli(kind, args=[*path, "--help"], **settings)
            except SystemExit as exit_:
                if exit_.code:
                    continue
        flags = set(re.findall(r"--[a-z][a-z-]*", text.getvalue()))
        names = {
            name
            for listed in re.findall(r"\{([a-z][a-z,-]+)\}", text.getvalue())
            for name in listed.split(",")
        }
        given = [word.partition("=")[0] for word in words]
        for word in given:
            known = flags if word.startswith("--") else names
            if word not in known and (guess := near_matches(word, known)):
                return guess
    return ""


def tell(work: Callable[[], tuple[dict[str, Any], int]], as_json: bool) -> None:
    """Does work that prints what it finds; for a program, prints that as JSON instead.

    Args:
        work: gives what it found, and the exit code.
        as_json: whether the text goes to the error stream, and JSON to the output.

    Raises:
        SystemExit: with the exit code, if it is not 0.
    """
    stream = sys.stderr if as_json else sys.stdout
    with contextlib.redirect_stdout(stream):
        found, code = work()
    if as_json:
        print(json.dumps(found, indent=2, default=str))
    if code:
        raise SystemExit(code)


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
