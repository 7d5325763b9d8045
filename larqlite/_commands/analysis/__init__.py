"""The commands that say what hurts a network: `lq sensitivity` and `lq diagnose`."""

from larqlite._commands.analysis._options import DiagnoseOptions, SensitivityOptions

__all__ = ["DiagnoseOptions", "SensitivityOptions"]
