"""What models and exports need of integer layers; may change without notice."""

from larqlite.integer.layers._base import QuantizedLayer, held_inputs
from larqlite.integer.layers._layer_classes import (
    QUANTIZED,
    float_class,
    quantized_class,
    quantizes,
    register_layer,
)
from larqlite.integer.layers._output_quantizer import output_frac_bits, output_scales
from larqlite.integer.layers._quantized_activation import TableLayer
from larqlite.integer.layers._quantized_attention import bits_of_root
from larqlite.integer.layers._quantized_conv import KernelLayer
from larqlite.integer.layers._quantized_separable import kernel_sums
from larqlite.integer.layers._quantized_shiftmax import exponent_precision
from larqlite.integer.layers._quantized_sign import least_beyond
from larqlite.integer.layers._quantized_softmax import log2e_factor
from larqlite.integer.layers._tokens import index_of

__all__ = [
    "QUANTIZED",
    "KernelLayer",
    "QuantizedLayer",
    "TableLayer",
    "bits_of_root",
    "exponent_precision",
    "float_class",
    "held_inputs",
    "index_of",
    "kernel_sums",
    "least_beyond",
    "log2e_factor",
    "output_frac_bits",
    "output_scales",
    "quantized_class",
    "quantizes",
    "register_layer",
]
