"""The commands that deploy: `lq export` and `lq verify`."""

from larqlite._commands.deploy._export_verify import ExportOptions, VerifyOptions

__all__ = ["ExportOptions", "VerifyOptions"]
