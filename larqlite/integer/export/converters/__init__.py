"""One file for each family of integer layers; each registers what it can write."""

from larqlite.integer.export.converters import (
    _conv,
    _pool,
    _shape,
    _simple,
)

__all__ = ["_conv", "_pool", "_shape", "_simple"]
