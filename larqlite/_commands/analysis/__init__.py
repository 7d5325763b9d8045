"""The commands `lq sensitivity`, `lq search` and `lq diagnose`."""

from larqlite._commands.analysis._options import (
    DiagnoseOptions,
    SearchOptions,
    SensitivityOptions,
)

__all__ = ["DiagnoseOptions", "SearchOptions", "SensitivityOptions"]
