"""What goes wrong in custom patterns, and why a node is left in float."""

from __future__ import annotations

from larqlite.errors import LarqliteError

__all__ = ["Mismatch", "PatternError"]


class PatternError(LarqliteError, RuntimeError):
    """A custom pattern whose function cannot be called or gives back no layer."""


class Mismatch(Exception):
    """The reason why nodes that match a pattern are not quantized by it."""
