"""Layers that compute in integers, their quantizers, and what records them."""

from larqlite.integer.layers._dequantizer import Dequantizer
from larqlite.integer.layers._observer import OutputObserver
from larqlite.integer.layers._output_quantizer import OutputQuantizer
from larqlite.integer.layers._quantizer import Quantizer
from larqlite.integer.layers._recording import (
    FixedPointRecorder,
    NonTrackFixedPointVariable,
    NonTrackVariable,
    QFloatRecorder,
    TensorRecorder,
    recording,
)
from larqlite.integer.layers._weight_quantizer import (
    AlignedWeightQuantizer,
    WeightQuantizer,
)

__all__ = [
    "AlignedWeightQuantizer",
    "Dequantizer",
    "FixedPointRecorder",
    "NonTrackFixedPointVariable",
    "NonTrackVariable",
    "OutputObserver",
    "OutputQuantizer",
    "QFloatRecorder",
    "Quantizer",
    "TensorRecorder",
    "WeightQuantizer",
    "recording",
]
