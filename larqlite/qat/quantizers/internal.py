"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.qat.quantizers._calibration import (
    METHODS,
    calibrating,
    calibration,
    of_weights,
)
from larqlite.qat.quantizers._interface import boolean
from larqlite.qat.quantizers._invoke import invoke

__all__ = [
    "METHODS",
    "boolean",
    "calibrating",
    "calibration",
    "invoke",
    "of_weights",
]
