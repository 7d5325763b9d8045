"""Quantizers of weights and activations in quantization-aware training."""

from larqlite.qat.quantizers._fixed import FixedQuantizer
from larqlite.qat.quantizers._interface import Quantizer
from larqlite.qat.quantizers._named import NamedQuantizer, get
from larqlite.qat.quantizers._ranges import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)

__all__ = [
    "AllValuesQuantizer",
    "FixedQuantizer",
    "LastValueQuantizer",
    "MovingAverageQuantizer",
    "NamedQuantizer",
    "Quantizer",
    "get",
]
