"""The command `lq integer`: integer models from and to files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import subcommand

from larqlite._commands.integer._options import (
    Check,
    Config,
    ExportInteger,
    InsertRescaling,
    Quantize,
)

__all__ = ["Integer"]


@dataclass(frozen=True)
class Integer:
    """Integer models: quantize, look at, check, and export them."""

    what: (
        Annotated[Quantize, subcommand("quantize")]
        | Annotated[Config, subcommand("config")]
        | Annotated[Check, subcommand("check")]
        | Annotated[InsertRescaling, subcommand("insert-rescaling")]
        | Annotated[ExportInteger, subcommand("export")]
    )

    def run(self) -> None:
        """Does it.

        Raises:
            SystemExit: with code 1 where a check or an export finds a fault.
        """
        from larqlite._commands.integer import _run

        _run.run(self.what)
