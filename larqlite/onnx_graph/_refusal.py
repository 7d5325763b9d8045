"""How a writer of files says what it cannot write, in the name of the function called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedLayerError, near_matches
from larqlite_runtime.format import QUANTIZERS, TableType, ValueType, named, table

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
    for name, numbers in (("scale", scale), ("offset", offset)):
        if np.ndim(numbers):
            raise ArgumentError(
                f"{where}: {name} has the shape {np.shape(numbers)}, and no scale or offset "
                "of a channel can leave a sum over channels.\n"
                "  Fix: one number; those of channels in the normalization in front of it."
            )
    if not (np.isfinite([scale, offset]).all() and scale):
        raise ArgumentError(
            f"{where}: scale={scale!r} and offset={offset!r} are no finite numbers, "
            "the scale not 0.\n  Fix: the distance of two levels, and where level 0 is."
        )


def levels_named(text: str, tensor: str) -> ValueType | None:
    """The type that a string names, of a tensor; None if its values are too many.

    Raises:
        ArgumentError: there is no type of that name.
    """
    try:
        return named(text)
    except ValueError as error:
        raise ArgumentError(f'the value "{tensor}": {error}') from error


def table_of(
    path: str, thresholds: Sequence[float], levels: Sequence[float]
) -> TableType:
    """The type of a table of levels that thresholds divide.

    Raises:
        ArgumentError: levels or thresholds that do not rise, or are too many or too few.
    """
    where = f"{path}: graph.table"
    try:
        kind = table(levels)
    except ValueError as error:
        raise ArgumentError(f"{where}: {error}") from error
    numbers = np.asarray(thresholds, np.float32)
    if numbers.shape != (len(kind.table) - 1,):
        raise ArgumentError(
            f"{where}: {numbers.size} thresholds do not divide {len(kind.table)} "
            "levels.\n  Fix: one threshold less than levels."
        )
    if np.isnan(numbers).any() or (np.diff(numbers) < 0).any():
        raise ArgumentError(
            f"{where}: thresholds={numbers.tolist()} do not rise.\n"
            "  Fix: sort them with their levels."
        )
    return kind
