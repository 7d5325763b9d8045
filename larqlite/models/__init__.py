"""What a model costs, where its quantized weights are, and how it is loaded."""

from larqlite.from_keras import from_keras, keras3_converter
from larqlite.graph import KernelAxes, LayerFacts, add_layer_facts
from larqlite.models._call import Call
from larqlite.models._for_larq import save_for_larq
from larqlite.models._kinds import mac_formula
from larqlite.models._load import load
from larqlite.models._measure import profile
from larqlite.models._profile import LayerProfile, ModelProfile, Note, WeightProfile
from larqlite.models._summary import summary
from larqlite.models._weights import (
    QuantizedWeight,
    flip_ratios,
    freeze,
    quantized_weights,
    saturation,
)

__all__ = [
    "profile",
    "summary",
    "ModelProfile",
    "LayerProfile",
    "WeightProfile",
    "Note",
    "Call",
    "mac_formula",
    "KernelAxes",
    "LayerFacts",
    "add_layer_facts",
    "QuantizedWeight",
    "flip_ratios",
    "freeze",
    "from_keras",
    "keras3_converter",
    "load",
    "quantized_weights",
    "saturation",
    "save_for_larq",
]
