"""What `larqlite_zoo` uses of larqlite beside its API; it may change without notice.

What needs TensorFlow is imported when it is used, so that commands read their words first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from larqlite._progress import bar, below_lines
from larqlite._registry import Registry

__all__ = ["Registry", "bar", "below_lines", "copy_of", "register_object"]

_IMPORTED_WHEN_USED = {"copy_of": "_copies", "register_object": "_registration"}


def __getattr__(name: str):
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"larqlite.{_IMPORTED_WHEN_USED[name]}")
    return getattr(module, name)


if TYPE_CHECKING:
    from larqlite._copies import copy_of
    from larqlite._registration import register_object
