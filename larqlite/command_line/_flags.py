"""Flags that several commands share, and what is asked of their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite.errors import ArgumentError


def import_flag(what: str) -> Any:
    """The flag `--import MODULE ...` of a command.

    Args:
        what: what the modules may register.
    """
    return arg(
        name="import",
        metavar="MODULE",
        help=f"Modules that register your own {what}.",
        help_behavior_hint="",
    )


Imports = Annotated[tuple[str, ...], import_flag("quantizers and layers")]
Json = FlagCreatePairsOff[
    Annotated[bool, arg(help="Print JSON, for a program to read.")]
]
Model = Positional[
    Annotated[
        Path, arg(metavar="MODEL", help="A saved model: .keras, .h5 or a folder.")
    ]
]
Unsafe = FlagCreatePairsOff[
    Annotated[
        bool,
        arg(
            help="Run the code that the model's file carries, such as that of Lambda "
            "layers. For files whose maker you trust."
        ),
    ]
]


def require_at_least(where: str, options: Any, **least: int) -> None:
    """Refuses numbers that are too small; None is no number.

    Args:
        where: the command, for the message.
        options: its dataclass.
        least: the smallest number of each of its fields.

    Raises:
        ArgumentError: by name.
    """
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            flag = "--" + name.replace("_", "-")
            raise ArgumentError(
                f"{where}: {flag} {value} is out of range.\n"
                f"  Fix: a number from {smallest} up."
            )
