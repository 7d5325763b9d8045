"""The command `lq plot`: pictures of quantizers, models, runs and results."""

from larqlite._commands.plot._options import (
    Plot,
    PlotHistory,
    PlotQuantizer,
    PlotWeights,
)

__all__ = ["Plot", "PlotHistory", "PlotQuantizer", "PlotWeights"]
