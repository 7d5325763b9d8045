"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.qat.quantizers._along_axis import quantized_along_axis
from larqlite.qat.quantizers._calibration import (
    METHODS,
    calibrating,
    calibration,
    of_weights,
)
from larqlite.qat.quantizers._fake_quant import batch_range, fake_quant
from larqlite.qat.quantizers._gradients import nudged
from larqlite.qat.quantizers._interface import boolean
from larqlite.qat.quantizers._invoke import invoke

__all__ = [
    "METHODS",
    "batch_range",
    "boolean",
    "calibrating",
    "calibration",
    "fake_quant",
    "invoke",
    "nudged",
    "of_weights",
    "quantized_along_axis",
]
