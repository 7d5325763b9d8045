"""Where `RSign` was: pickles of earlier versions name this module."""

from larqlite.quantizers._learned_thresholds import RSign

__all__ = ["RSign"]
