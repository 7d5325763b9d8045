"""The layers of a quantization-aware model: a wrapper around each layer, and those between."""

from larqlite.qat.wrapper._activation import (
    BEFORE,
    OF_INTEGERS,
    QuantizedActivation,
    name_of,
    only_sums,
)
from larqlite.qat.wrapper._attached_quantizers import has_own_setter
from larqlite.qat.wrapper._call_phase import CallPhase, observing, only_shapes
from larqlite.qat.wrapper._fit import fitted, values_of
from larqlite.qat.wrapper._quantize_layer import QuantizeLayer
from larqlite.qat.wrapper._wrapper import QuantizeWrapper, QuantizeWrapperV2, layer_from

__all__ = [
    "BEFORE",
    "OF_INTEGERS",
    "CallPhase",
    "QuantizeLayer",
    "QuantizeWrapper",
    "QuantizeWrapperV2",
    "QuantizedActivation",
    "fitted",
    "has_own_setter",
    "layer_from",
    "name_of",
    "observing",
    "only_shapes",
    "only_sums",
    "values_of",
]
