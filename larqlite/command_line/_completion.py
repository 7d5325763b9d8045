"""What a shell needs to complete the words of a command: bash and zsh."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from larqlite.command_line._choices import (
    argument_of,
    followed,
    inputs_of,
    taken_apart,
    values_of,
)
from larqlite.command_line._flags import Json
from larqlite_runtime.command_output import tell

_PATHS = ("FILE", "FOLDER", "MODEL")
_HELP = ("-h", "--help")


@dataclass(frozen=True)
class Word:
    """What stands behind a flag, or by itself.

    Attributes:
        words: that can be chosen; empty if there is no list.
        is_path: whether a file or a folder is meant.
        names: of the flag; empty for a word by itself.
        help: of the flag.
        is_taken: whether anything stands behind the flag.
    """

    words: tuple[str, ...] = ()
    is_path: bool = False
    names: tuple[str, ...] = ()
    help: str = ""
    is_taken: bool = True


@dataclass(frozen=True)
class Place:
    """A command, with what may stand behind it.

    Attributes:
        path: the words that lead to it.
        commands: of it, with what they do.
        flags: of it.
        inputs: words by themselves, in order.
    """

    path: tuple[str, ...]
    commands: dict[str, str] = dataclasses.field(default_factory=dict)
    flags: tuple[Word, ...] = ()
    inputs: tuple[Word, ...] = ()


@dataclass(frozen=True)
class CompletionOptions:
    """Print what lets a shell complete words: commands, flags, values, files."""

    shell: Positional[
        Annotated[
            Literal["bash", "zsh"],
            arg(metavar="SHELL", help="bash or zsh."),
        ]
    ]
    json: Json = False

    def show(self, program: str, places: Sequence[Place]) -> None:
        """Prints the script.

        Args:
            program: the command.
            places: all that can be said.
        """
        script = SHELLS[self.shell](program, places)
        if not self.json:
            print(script, end="")
        found = {"program": program, "shell": self.shell, "script": script}
        tell(lambda: (found, 0), self.json)


def root_of(commands: dict[str, str]) -> Place:
    """What stands behind the program itself.

    Args:
        commands: what each does, by name.
    """
    version = Word(names=("--version",), help="print the version", is_taken=False)
    return Place((), dict(commands), (_help_flag(), version))


def places_of(kind: Any, path: Sequence[str]) -> list[Place]:
    """A command of `tyro` and all that are inside.

    Args:
        kind: its dataclass.
        path: the words that lead to it.

    Example:
        >>> from larqlite._commands.integer import Integer
        >>> [" ".join(place.path) for place in places_of(Integer, ["integer"])][:2]
        ['integer', 'integer quantize']
    """
    _, _, commands = followed(kind, ())
    if commands:
        about = {name: _first_line(each) for name, each in commands.items()}
        found = [Place(tuple(path), about, (_help_flag(),))]
        for name, each in commands.items():
            found += places_of(each, [*path, name])
        return found
    flags, inputs = [_help_flag()], []
    for name, hint in inputs_of(kind):
        value = _value(name, hint)
        (flags if value.names else inputs).append(value)
    return [Place(tuple(path), {}, tuple(flags), tuple(inputs))]


def place_of_parser(parser: argparse.ArgumentParser, path: Sequence[str]) -> Place:
    """A command that `argparse` reads."""
    flags, inputs = [], []
    for action in parser._actions:
        value = Word(
            tuple(map(str, action.choices or ())),
            action.metavar in _PATHS,
            tuple(action.option_strings),
            action.help or "",
            action.nargs != 0,
        )
        (flags if value.names else inputs).append(value)
    return Place(tuple(path), {}, tuple(flags), tuple(inputs))


def _first_line(kind: Any) -> str:
    """The first sentence of a documentation, without the full stop."""
    return (
        (kind.__doc__ or "").strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    )


def bash(program: str, places: Sequence[Place]) -> str:
    """A script for bash.

    Args:
        program: the command.
        places: all that can be said.
    """

    def value(behind: Word) -> str:
        if behind.words:
            return f'COMPREPLY=($(compgen -W {_quoted(behind.words)} -- "$cur"))'
        return ":" if behind.is_path else "compopt +o default"

    def listed(place: Place) -> str:
        flags, others = _choices(place)
        return f"flags={_quoted(flags)} others={_quoted(others)}"

    return _script(_BASH, "{})", program, places, value, listed)


def zsh(program: str, places: Sequence[Place]) -> str:
    """A script for zsh; Args as of `bash`."""

    def value(behind: Word) -> str:
        if behind.words:
            return f"compadd -- {' '.join(map(shlex.quote, behind.words))}"
        return "_files" if behind.is_path else "_message value"

    def listed(place: Place) -> str:
        _, others = _choices(place)
        flags = [
            _described(name, flag.help) for flag in place.flags for name in flag.names
        ]
        others = [_described(name, place.commands.get(name, "")) for name in others]
        return f"flags=({' '.join(flags)}) others=({' '.join(others)})"

    return _script(_ZSH, "({})", program, places, value, listed)


def _script(
    template: str,
    pattern: str,
    program: str,
    places: Sequence[Place],
    value: Callable[[Word], str],
    listed: Callable[[Place], str],
) -> str:
    """A shell's script: what completes the word behind a flag, and what else may stand."""
    values, words = [], []
    for place in places:
        for flag, behind in _behind_flags(place):
            at = pattern.format(_at(place, flag))
            values.append(f"        {at} {value(behind)}; return ;;")
        is_path = any(each.is_path for each in place.inputs)
        at = pattern.format(_at(place))
        words.append(f"        {at} {listed(place)} files={int(is_path)} ;;")
    return template.format(
        name=program.replace("-", "_"),
        program=program,
        commands=" | ".join(_at(place) for place in places if place.path),
        values="\n".join(values),
        words="\n".join(words),
    )


SHELLS: dict[str, Callable[[str, Sequence[Place]], str]] = {"bash": bash, "zsh": zsh}


def _help_flag() -> Word:
    return Word(names=_HELP, help="print this command's options", is_taken=False)


def _value(name: str, hint: Any) -> Word:
    kind, settings = taken_apart(hint)
    given = argument_of(settings)
    # Several files are FILE [FILE ...].
    first = ((given and given.metavar) or "").partition(" ")[0]
    is_path = first in _PATHS or kind is pathlib.Path
    words, help_ = values_of(kind), (given and given.help) or ""
    words = tuple(word for word in words if word != "None")
    if tyro.conf.Positional in settings:
        return Word(words, is_path)
    flag = "--" + ((given and given.name) or name).replace("_", "-")
    names = (*((given and given.aliases) or ()), flag)
    if kind is bool:
        if tyro.conf.FlagCreatePairsOff not in settings:
            names = (*names, f"--no-{flag[2:]}")
        return Word((), False, names, help_, is_taken=False)
    return Word(words, is_path, names, help_)


def _behind_flags(place: Place) -> Iterable[tuple[str, Word]]:
    for flag in place.flags:
        if flag.is_taken:
            yield from ((name, flag) for name in flag.names)


def _choices(place: Place) -> tuple[list[str], list[str]]:
    flags = [name for flag in place.flags for name in flag.names]
    others = [*place.commands]
    others += [word for each in place.inputs for word in each.words]
    return flags, others


def _at(place: Place, *more: str) -> str:
    return '"' + "".join(f" {word}" for word in (*place.path, *more)) + '"'


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))


def _described(name: str, text: str) -> str:
    """An entry of `_describe`, whose colons are signs."""
    text = " ".join(text.split()).partition(". ")[0].partition(": ")[0].rstrip(".")
    return shlex.quote(f"{name}:{text}".replace(":", "\\:").replace("\\:", ":", 1))


_BASH = """\
# Completes the words of `{program}` in bash; written by `{program} completion bash`.
_{name}_completion() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    local at="" flags="" others="" files=0 i
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=""
    elif [[ $prev == "=" ]]; then
        prev="${{COMP_WORDS[COMP_CWORD-2]}}"
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${{COMP_WORDS[i]}}" in
        {commands}) at="$at ${{COMP_WORDS[i]}}" ;;
        *) break ;;
        esac
    done
    case "$at $prev" in
{values}
    esac
    case "$at" in
{words}
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ -n $others ]]; then
        COMPREPLY=($(compgen -W "$others" -- "$cur"))
    elif [[ $files == 0 ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    fi
    if [[ $files == 0 ]]; then
        compopt +o default
    fi
}}
complete -o default -F _{name}_completion {program}
"""

_ZSH = """\
#compdef {program}
# Completes the words of `{program}` in zsh; written by `{program} completion zsh`.
_{name}() {{
    local at="" prev="${{words[CURRENT-1]}}" word files=0
    local -a flags others
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "$at $word" in
        ({commands}) at="$at $word" ;;
        (*) break ;;
        esac
    done
    case "$at $prev" in
{values}
    esac
    case "$at" in
{words}
    esac
    if [[ $PREFIX == -* ]]; then
        _describe -o option flags
    elif (( $#others )); then
        _describe word others
    elif (( ! files )); then
        _describe -o option flags
    fi
    if (( files )) && [[ $PREFIX != -* ]]; then
        _files
    fi
}}
if [[ $funcstack[1] == _{name} ]]; then
    _{name} "$@"
else
    compdef _{name} {program}
fi
"""
