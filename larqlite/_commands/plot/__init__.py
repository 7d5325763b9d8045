"""The command `lq plot`: pictures of quantizers, models, runs and results."""

from larqlite._commands.plot._options import Plot

__all__ = ["Plot"]
