"""Which command the first words of `lq` and `lqz` name, and what help without TensorFlow says.

`lq run`, `lq benchmark` and `lq explain` are done here; the words of the others are handed
to a module that the caller gives, `larqlite.cli` or `larqlite_zoo.cli`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from larqlite_runtime import start
from larqlite_runtime._errors import InputError
from larqlite_runtime._version import __version__
from larqlite_runtime.commands import _around
from larqlite_runtime.commands._arguments import PARSERS
from larqlite_runtime.names import near_matches

COMMANDS = {
    "quantizers": "List the registered quantizers: name, class, bits, and what they do.",
    "summary": "Show what every layer of a saved model costs: bits, memory, operations.",
    "plot": "Draw quantizers, models, training runs and results, for screen and paper.",
    "sensitivity": "Say what each width of each layer costs: signal, and accuracy.",
    "search": "Find the width of each layer that loses least within a budget.",
    "qat": "Quantize a saved float model: calibrate, train on if asked to, write TFLite.",
    "diagnose": "Say what is ill in a low-bit model, and how it gets well.",
    "integer": "Integer models: quantize, look at, check, and export them.",
    "export": "Write a saved model as an ONNX file with packed weights.",
    "verify": "Compare a deployed file with its model, layer by layer.",
    "run": "Run a deployed model on data in a file. Needs no TensorFlow.",
    "benchmark": "Measure how fast a deployed file runs. Needs no TensorFlow.",
    "explain": "Show how a deployed file runs, and where its tensors lie. No TensorFlow.",
    "demo": "Train a small binary network on 8,000 real images, deploy it, measure it.",
    "completion": "Print what lets a shell complete words: commands, flags, values, files.",
}
ZOO_COMMANDS = {
    "list": "List models, recipes or datasets.",
    "card": "Show what is known of a model: paper, costs, accuracies, weight files.",
    "train": "Train a model by its recipe, or go on with a run that was interrupted.",
    "sweep": "Train recipes with several methods and seeds, export each model, make one table.",
    "evaluate": "Measure a model on the validation images of a dataset.",
    "completion": "Print what lets a shell complete words: commands, flags, values, files.",
}

# Commands that need something of what larqlite does, but no TensorFlow.
_ONLY = {"completion": ("tyro",)}
_FORMER_COMPLETION = "--tyro-print-completion"


def run_lq(
    arguments: Sequence[str] | None, larqlite_cli: Callable[[], ModuleType]
) -> None:
    """Runs the command `lq`.

    Args:
        arguments: the words after `lq`; those of the process by default.
        larqlite_cli: imports the module that knows the commands of larqlite.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _around.run("lq", arguments, lambda words: _do(words, larqlite_cli))


def run_lqz(arguments: Sequence[str] | None, zoo_cli: Callable[[], ModuleType]) -> None:
    """Runs the command `lqz`, whose help and version need no TensorFlow.

    Args:
        arguments: the words after `lqz`; those of the process by default.
        zoo_cli: imports the module that knows its commands.

    Raises:
        SystemExit: as of `run_lq`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _around.run("lqz", arguments, lambda words: _do_zoo(words, zoo_cli))


def _do(arguments: list[str], larqlite_cli: Callable[[], ModuleType]) -> None:
    arguments = _in_present_words("lq", arguments)
    about = "Build, train, inspect and deploy binarized networks in Keras."
    if _answered("lq", f"larqlite {__version__}", about, COMMANDS, arguments):
        return
    name, *rest = arguments
    if name in PARSERS:
        options = PARSERS[name](rest)
        start.interruptions_are_errors()
        options.run()
        return
    _require(f"lq {name}", name)
    options = larqlite_cli().parse(arguments)
    if name not in _ONLY:
        _load_larqlite()
    options.run()


def _do_zoo(arguments: list[str], zoo_cli: Callable[[], ModuleType]) -> None:
    arguments = _in_present_words("lqz", arguments)
    about = "Reference binarized networks: list, train and evaluate them."
    version = f"larqlite_zoo {__version__}"
    if _answered("lqz", version, about, ZOO_COMMANDS, arguments):
        return
    _require(f"lqz {arguments[0]}", arguments[0])
    zoo_cli().work(arguments)


def _in_present_words(program: str, arguments: list[str]) -> list[str]:
    """Words with `completion SHELL` in place of the flag that it was; says so."""
    if arguments[:1] != [_FORMER_COMPLETION]:
        return arguments
    words = ["completion", *arguments[1:]]
    print(
        f"{program}: {_FORMER_COMPLETION} is {program} completion now.", file=sys.stderr
    )
    return words


def _load_larqlite() -> None:
    import larqlite

    _around.load(larqlite.load_everything)


def _answered(
    program: str,
    version: str,
    about: str,
    commands: dict[str, str],
    arguments: Sequence[str],
) -> bool:
    """Whether the words ask for the version or the list of commands, which is printed.

    Raises:
        InputError: they begin with no command.
    """
    first = arguments[0] if arguments else None
    if first == "--version":
        print(version)
        return True
    if first in ("-h", "--help", "help"):
        print(_help(program, about, commands))
        return True
    if first in commands:
        return False
    names = ", ".join(commands)
    if first is None:
        said = "a command is missing"
    elif first.startswith("-"):
        said = f"{first} stands before any command, or is unknown"
        said += f".{near_matches(first, ('--help', '--version'))}"
    else:
        said = f'there is no command "{first}"'
        said += f".{near_matches(first, commands)}"
    raise InputError(
        f"{said.rstrip('.')}{'' if said.endswith('?') else '.'}\n"
        f"  Fix: one of {names}; {program} --help says what they do."
    )


def _help(program: str, about: str, commands: dict[str, str]) -> str:
    lines = [f"usage: {program} COMMAND ...", "", about, "", "commands:"]
    width = max(map(len, commands)) + 2
    for name, text in commands.items():
        lines += _around.wrapped(f"  {name:<{width}}", text)
    lines += ["", "options:"]
    lines += ["  -h, --help   print this", "  --version    print the version", ""]
    lines.append(f"{program} COMMAND --help lists the options of a command.")
    return "\n".join(lines)


def _require(what: str, command: str) -> None:
    needed = _ONLY.get(command)
    said = start.what_is_missing(what, *([] if needed is None else [needed]))
    if said is None:
        return
    if what.startswith("lq ") and needed is None:
        said += "\n  Without it there are lq run, lq benchmark and lq explain."
    raise InputError(said)
