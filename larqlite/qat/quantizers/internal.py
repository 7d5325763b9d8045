"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.qat.quantizers._calibration import (
    METHODS,
    OF_HISTOGRAMS,
    calibrating,
    calibration,
    is_unrounded,
    of_weights,
    unrounded,
)
from larqlite.qat.quantizers._interface import boolean
from larqlite.qat.quantizers._invoke import invoke

__all__ = [
    "METHODS",
    "OF_HISTOGRAMS",
    "boolean",
    "calibrating",
    "calibration",
    "invoke",
    "is_unrounded",
    "of_weights",
    "unrounded",
]
