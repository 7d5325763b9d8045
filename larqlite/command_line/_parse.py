"""From words to a dataclass; `--import MODULE`."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from larqlite.command_line._choices import (
    followed,
    require_choices,
    require_flags,
    require_values,
)
from larqlite.errors import ArgumentError, LarqliteError, near_matches
from larqlite_runtime.former_flags import in_present_flags


def parsed(kind: Any, program: str, words: Sequence[str], **options: Any) -> Any:
    """A dataclass with what the words say.

    Args:
        kind: the class. A command whose flags were called otherwise has `FORMER_FLAGS`.
        program: what messages name.
        words: flags and their values.
        options: of `tyro.cli`.

    Raises:
        ArgumentError: a flag that there is not, or an option without its value, or with one
            that is no number or none of its fixed list; or what the dataclass itself refuses.
        SystemExit: with code 2 after another mistake, with 0 after `--help`.
    """
    command, path, _ = followed(kind, words)
    former = getattr(command, "FORMER_FLAGS", ())
    words = in_present_flags(" ".join([program, *path]), words, former)
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    settings = {"prog": program, "config": config} | options
    prefix = None if tyro.conf.OmitArgPrefixes in settings["config"] else ""
    require_flags(kind, program, words, settings.get("default"), prefix)
    if not {"-h", "--help"} & set(words):
        require_values(kind, program, words)
    require_choices(kind, program, words)
    said = io.StringIO()
    try:
        with _without_colours(), contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=words, **settings)
    except SystemExit as exit_:
        if (refusal := _refusal_behind(exit_)) is not None:
            # It says what to do; the parser puts it in a frame, folded.
            said = io.StringIO()
            raise refusal from None
        if exit_.code and (guess := _guess(kind, words)):
            print(f"{program}:{guess}", file=said)
        raise
    finally:
        sys.stderr.write(said.getvalue())


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


def _refusal_behind(error: BaseException | None) -> LarqliteError | None:
    """What a dataclass has refused, where the parser ends the process for it."""
    while error is not None and not isinstance(error, LarqliteError):
        error = error.__cause__ or error.__context__
    return error


def _guess(kind: Any, words: Sequence[str]) -> str:
    """What a command of the words may have been meant as; empty if unknown."""
    _, path, commands = followed(kind, words)
    word = words[len(path)] if len(path) < len(words) else "-"
    return near_matches(word, commands) if commands and word[:1] != "-" else ""


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
