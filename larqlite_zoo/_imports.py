"""`--import MODULE`: a user's own models for the command `lqz`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from larqlite import command_line

Imports = Annotated[
    tuple[str, ...],
    command_line.import_flag("models, recipes, datasets"),
]


def import_modules(modules: Sequence[str]) -> None:
    """Imports modules of the present folder, or installed ones.

    Raises:
        ArgumentError: there is no such module.
    """
    command_line.import_modules("lqz", modules)
