"""How a writer of files says what it cannot write, in the name of the function called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from larqlite.errors import UnsupportedLayerError

# The function that a user called, for messages.
WHERE: ContextVar[str] = ContextVar("where", default="lq.deploy.export")


def refuse(layer: Any, path: str, why: str, fix: str) -> UnsupportedLayerError:
    """The error for a layer that cannot be exported exactly; to be raised.

    Args:
        layer: the layer, or whatever else stands at `path`.
        path: where it is in the model.
        why: the reason, a sentence without its full stop.
        fix: the way out, likewise.
    """
    return UnsupportedLayerError(
        f'{WHERE.get()}: {type(layer).__name__} "{path}": {why}.\n  Fix: {fix}.'
    )
