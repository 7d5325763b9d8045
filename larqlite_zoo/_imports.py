"""`--import MODULE`: a user's own models for the command `lqz`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

from tyro.conf import arg

from larqlite.errors import ArgumentError

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
                "  Fix: run lqz in the folder of the module, or install it."
            ) from error
