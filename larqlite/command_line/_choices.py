"""What can be chosen among a few: the commands of a command, the values of an option."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import tyro

from larqlite.errors import ArgumentError, near_matches

# What `arg(...)` and `subcommand(...)` leave in an `Annotated`.
_ARG, _SUBCOMMAND = type(tyro.conf.arg()), type(tyro.conf.subcommand())
# Numbers that messages propose.
_EXAMPLES = {int: "8", float: "0.5"}


def followed(kind: Any, words: Sequence[str]) -> tuple[Any, list[str], dict[str, Any]]:
    """The command that words lead to.

    Args:
        kind: a dataclass of `tyro`, or several of them.
        words: of which the first ones name commands.

    Returns:
        What the last command is, the words that name it, and the commands that could
        come next, by name.

    Example:
        >>> from larqlite._commands.integer import Integer
        >>> kind, path, commands = followed(Integer, ["export", "--to", "onnx"])
        >>> kind.__name__, path, commands
        ('ExportInteger', ['export'], {})
    """
    path: list[str] = []
    commands = _commands(kind)
    while commands and len(path) < len(words) and words[len(path)] in commands:
        kind = commands[words[len(path)]]
        path.append(words[len(path)])
        commands = _commands(kind)
    return kind, path, commands


def choices_of(kind: Any) -> dict[str, tuple[str, ...]]:
    """The options of a dataclass that have a fixed list of values, with that list.

    Those of dataclasses inside have the name that stands after the last dot of the flag.

    Example:
        >>> from larqlite._commands.qat import Qat
        >>> choices_of(Qat)
        {'--inputs': ('float32', 'int8'), '--ranges': ('auto', 'minmax', ...)}
    """
    return {
        flag: values
        for flags, hint, _ in _options_of(kind)
        if (values := values_of(hint))
        for flag in flags
    }


def require_choices(kind: Any, program: str, words: Sequence[str]) -> None:
    """Refuses a value that is none of those that an option has.

    Raises:
        ArgumentError: which option has which value, and the values there are.

    Example:
        >>> from larqlite._commands.qat import Qat
        >>> require_choices(Qat, "lq qat", ["--inputs", "bf16"])
        Traceback (most recent call last):
        ...
        larqlite.errors.ArgumentError: lq qat: --inputs bf16 is none of float32, int8.
          Fix: --inputs float32.
    """
    if {"-h", "--help"} & set(words):
        return
    kind, path, _ = followed(kind, words)
    choices = choices_of(kind)
    where = " ".join([program, *path])
    for flag, value in _options(words):
        name = flag.replace("_", "-")
        allowed = choices.get("--" + name.lstrip("-").rpartition(".")[2])
        allowed = choices.get(name, allowed)
        if allowed is None or value in allowed:
            continue
        shown = [each for each in allowed if each != "None"]
        guess = near_matches(value, shown)
        nearest = guess.split('"')[1] if guess else shown[0]
        raise ArgumentError(
            f"{where}: {flag} {value} is none of {', '.join(shown)}.{guess}\n"
            f"  Fix: {flag} {nearest}."
        )


def require_values(kind: Any, program: str, words: Sequence[str]) -> None:
    """Refuses an option without its value, and one whose value has to be a number and is none.

    Raises:
        ArgumentError: which option has which value.

    Example:
        >>> from larqlite._commands.qat import Qat
        >>> require_values(Qat, "lq qat", ["net.keras", "--epochs", "few"])
        Traceback (most recent call last):
        ...
        larqlite.errors.ArgumentError: lq qat: --epochs few is no whole number.
          Fix: a number, such as --epochs 8.
    """
    kind, path, _ = followed(kind, words)
    where = " ".join([program, *path])
    known = dict(_options_with_values(kind))
    for word, after in itertools.pairwise([*words, "--"]):
        flag, equals, value = word.partition("=")
        name = flag.replace("_", "-")
        name = name if name in known else "--" + name.lstrip("-").rpartition(".")[2]
        if not flag.startswith("--") or name not in known:
            continue
        number, shown = known[name]
        if not equals and after.startswith("--"):
            raise ArgumentError(
                f"{where}: {flag} has no value.\n  Fix: {flag} {shown}, or leave it out."
            )
        value = value if equals else after
        if number is not None and value != "None" and not _is_a(number, value):
            what = "whole number" if number is int else "number"
            raise ArgumentError(
                f"{where}: {flag} {value} is no {what}.\n"
                f"  Fix: a number, such as {flag} {_EXAMPLES[number]}."
            )


def _options_with_values(kind: Any) -> Iterator[tuple[str, tuple[type | None, str]]]:
    """Options with values: the type of number where it is one, and what stands for a value."""
    for flags, hint, settings in _options_of(kind):
        values = values_of(hint)
        types_ = [part for part in _parts(hint) if part is not type(None)]
        is_one = typing.get_origin(hint) is not tuple and len(types_) == 1
        kinds = {*types_} - {Ellipsis}
        is_plain = bool(values) or kinds <= {int, float, str, pathlib.Path}
        if tyro.conf.Positional in settings or not is_plain:
            continue
        number = types_[0] if is_one and types_[0] in _EXAMPLES else None
        given = argument_of(settings)
        shown = (
            values[0] if values else (given and given.metavar) or flags[0][2:].upper()
        )
        yield from ((flag, (number, shown)) for flag in flags)


def _is_a(number: type, value: str) -> bool:
    try:
        number(value)
    except ValueError:
        return False
    return True


def _options_of(kind: Any) -> Iterator[tuple[tuple[str, ...], Any, tuple]]:
    """The fields of a dataclass and of those inside: flags, type, and what is annotated."""
    for name, hint in inputs_of(kind):
        inner, settings = taken_apart(hint)
        parts = [part for part in _parts(inner) if dataclasses.is_dataclass(part)]
        for part in parts:
            yield from _options_of(part)
        if not parts:
            given = argument_of(settings)
            flag = "--" + ((given and given.name) or name).replace("_", "-")
            yield (flag, *((given and given.aliases) or ())), inner, settings


def flags_of(kind: Any, value: Any = None, prefix: str | None = None) -> Iterator[str]:
    """All flags of a dataclass, in order, as `tyro` calls them.

    Args:
        kind: the dataclass.
        value: one of it, whose parts are the defaults; what a field that may be of
            several dataclasses has as flags depends on it.
        prefix: what stands in front of the flags of a dataclass inside; None: nothing,
            at any depth.

    Example:
        >>> from larqlite._commands.qat import Qat
        >>> list(flags_of(Qat))[:3]
        ['--data', '--scheme', '--output']
    """
    for name, hint in inputs_of(kind):
        inner, settings = taken_apart(hint)
        if tyro.conf.Positional in settings:
            continue
        given = argument_of(settings)
        called = name if given is None or given.name is None else given.name
        parts = list(_inside(inner, getattr(value, name, None)))
        for place, part, its_value in parts:
            path = ".".join(word for word in (called, place) if word)
            within = prefix if prefix is None or not path else f"{prefix}{path}."
            yield from flags_of(part, its_value, within)
        if parts:
            continue
        flag = f"{prefix or ''}{called}".replace("_", "-")
        yield f"--{flag}"
        yield from (given and given.aliases) or ()
        if inner is bool and tyro.conf.FlagCreatePairsOff not in settings:
            before, dot, last = flag.rpartition(".")
            yield f"--{before}{dot}no-{last}"


def require_flags(
    kind: Any, program: str, words: Sequence[str], value: Any, prefix: str | None
) -> None:
    """Refuses a flag that there is not, before anything is made of the words: that takes
    a tenth of the time in which the parser finds out.

    Args:
        kind: a dataclass of `tyro`, or several of them.
        program: what the message names.
        words: flags and their values.
        value: as of `flags_of`.
        prefix: as of `flags_of`.

    Raises:
        ArgumentError: which flag, the nearest ones, and where all of them are listed.

    Example:
        >>> from larqlite._commands.qat import Qat
        >>> require_flags(Qat, "lq qat", ["net.keras", "--dta", "x.npz"], None, None)
        Traceback (most recent call last):
        ...
        larqlite.errors.ArgumentError: lq qat: there is no flag --dta. Did you mean "--data"?
          Fix: lq qat --help
    """
    kind, path, commands = followed(kind, words)
    if commands or {"-h", "--help"} & set(words):
        return
    known = set(flags_of(kind, value, prefix))
    where = " ".join([program, *path])
    for word in words:
        flag = word.partition("=")[0]
        is_flag = flag.startswith("--") and flag[2:3].isalpha()
        if is_flag and flag.replace("_", "-") not in known:
            raise ArgumentError(
                f"{where}: there is no flag {flag}.{near_matches(flag, known)}\n"
                f"  Fix: {where} --help"
            )


def _inside(hint: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """The dataclasses in a field: the place in a tuple, the class, and one of it."""
    if isinstance(value, tuple):
        for index, each in enumerate(value):
            if dataclasses.is_dataclass(each):
                yield str(index), type(each), each
    elif dataclasses.is_dataclass(value):
        yield "", type(value), value
    else:
        for part, _ in map(taken_apart, _parts(hint)):
            if dataclasses.is_dataclass(part):
                yield "", part, None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The flags that have a value, with it."""
    for word, after in itertools.pairwise([*words, "-"]):
        flag, equals, value = word.partition("=")
        if flag.startswith("-") and equals:
            yield flag, value
        elif flag.startswith("-") and not after.startswith("-"):
            yield flag, after


def _commands(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = [hint for _, hint in inputs_of(kind)] or [kind]
    for part in (part for hint in hints for part in _parts(hint)):
        inner, settings = taken_apart(part)
        for each in settings:
            if isinstance(each, _SUBCOMMAND) and each.name:
                found[each.name] = inner
    return found


def argument_of(settings: Sequence[Any]) -> Any:
    """What `arg(...)` says of a field: its name, aliases, help and metavar; or None."""
    return next((each for each in settings if isinstance(each, _ARG)), None)


def inputs_of(kind: Any) -> list[tuple[str, Any]]:
    """The fields of a dataclass, each with its type and what is annotated."""
    if not dataclasses.is_dataclass(kind):
        return []
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(field.name, hints[field.name]) for field in dataclasses.fields(kind)]


def taken_apart(hint: Any) -> tuple[Any, tuple]:
    """What is annotated, and with what."""
    if typing.get_origin(hint) is typing.Annotated:
        return hint.__origin__, hint.__metadata__
    return hint, ()


def _parts(hint: Any) -> tuple:
    """The types of a union, or of a tuple; a type by itself is one."""
    inner, _ = taken_apart(hint)
    if typing.get_origin(inner) in (typing.Union, types.UnionType, tuple):
        return typing.get_args(inner)
    return (hint,)


def values_of(hint: Any) -> tuple[str, ...]:
    """The values of a `Literal`, and None if it may be that; empty for another type."""
    parts = _parts(hint)
    literals = [part for part in parts if typing.get_origin(part) is Literal]
    others = [part for part in parts if part not in (*literals, type(None))]
    if not literals or others:
        return ()
    values = tuple(str(v) for part in literals for v in typing.get_args(part))
    return values if type(None) not in parts else (*values, "None")
