"""`--import MODULE`: a user's own models for the command `lqz`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tyro.conf import arg

from larqlite import _command

Imports = Annotated[
    tuple[str, ...],
    arg(
        name="import",
        metavar="MODULE",
        help="Modules that register your own models, recipes, datasets.",
        help_behavior_hint="",
    ),
]


def import_modules(modules: Sequence[str]) -> None:
    """Imports modules of the present folder, or installed ones.

    Raises:
        ArgumentError: there is no such module.
    """
    _command.import_modules("lqz", modules)
