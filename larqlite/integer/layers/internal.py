"""What models and exports need of integer layers; may change without notice."""

from larqlite.integer.layers._base import QuantizedLayer, held_inputs
from larqlite.integer.layers._layer_classes import (
    QUANTIZED,
    float_class,
    quantized_class,
    quantizes,
    register_layer,
)
from larqlite.integer.layers._quantized_conv import KernelLayer
from larqlite.integer.layers._quantized_separable import kernel_sums
from larqlite.integer.layers._quantized_shiftmax import exponent_precision
from larqlite.integer.layers._tokens import index_of

__all__ = [
    "QUANTIZED",
    "KernelLayer",
    "QuantizedLayer",
    "exponent_precision",
    "float_class",
    "held_inputs",
    "index_of",
    "kernel_sums",
    "quantized_class",
    "quantizes",
    "register_layer",
]
