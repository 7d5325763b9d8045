"""How a writer of files says what it cannot write, in the name of the function called."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedLayerError, near_matches
from larqlite_runtime.format import QUANTIZERS

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


def require_quantizer(
    path: str, op: str, scale: float, offset: float, attributes: Mapping[str, Any]
) -> None:
    """Raises ArgumentError for what no quantizer of the format is."""
    where = f"{path}: graph.quantized"
    if op not in QUANTIZERS:
        raise ArgumentError(
            f'{where}: there is no quantizer "{op}".{near_matches(op, QUANTIZERS)}\n'
            f"  Fix: one of {', '.join(QUANTIZERS)}."
        )
    known = QUANTIZERS[op].attributes
    for name in {*known, *attributes}:
        if name not in known or name not in attributes:
            raise ArgumentError(
                f"{where}: {op} with {sorted(attributes)}, but its attributes are "
                f"{sorted(known)}.\n  Fix: give these, each by its name."
            )
        if not known[name].allows(attributes[name]):
            raise ArgumentError(
                f"{where}: {name}={attributes[name]!r} of {op} is not "
                f"{known[name].says}.\n  Fix: a value in this range."
            )
    if not (np.isfinite([scale, offset]).all() and scale):
        raise ArgumentError(
            f"{where}: scale={scale!r} and offset={offset!r} are no finite numbers, "
            "the scale not 0.\n  Fix: the distance of two levels, and where level 0 is."
        )
