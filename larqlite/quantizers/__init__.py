"""Quantizers: float tensor in, low-bit tensor out, with a pseudo-gradient for training."""

from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._binary import (
    ApproxSign,
    MagnitudeAwareSign,
    SteHeaviside,
    SteSign,
    SwishSign,
    XnorScale,
)
from larqlite.quantizers._identifiers import (
    deserialize,
    get,
    get_kernel_quantizer,
    serialize,
)
from larqlite.quantizers._learned_codebooks import LQLevels
from larqlite.quantizers._learned_ranges import PACT, LSQPlus
from larqlite.quantizers._learned_scales import Seq, XnorPlus
from larqlite.quantizers._learned_steps import LSQ, Uniform
from larqlite.quantizers._learned_thresholds import RSign
from larqlite.quantizers._multibit import AbsmaxInt8, DoReFa, IntSymmetric, NoOp
from larqlite.quantizers._registered import entries, names, register
from larqlite.quantizers._scaled_levels import AdaBinActivations, AdaBinWeights
from larqlite.quantizers._scheduled import EDESign, Libra, ReCU
from larqlite.quantizers._stochastic import StochasticSign, StochasticTernary
from larqlite.quantizers._ternary import AbsmeanTernary, SteTern
from larqlite.quantizers._trained_ternary import TTQ

DoReFaQuantizer = DoReFa
NoOpQuantizer = NoOp

_functions = {entry.name: entry.function for entry in entries() if entry.function}
absmax_int8 = _functions["absmax_int8"]
absmean_ternary = _functions["absmean_ternary"]
adabin_weights = _functions["adabin_weights"]
approx_sign = _functions["approx_sign"]
dorefa = _functions["dorefa"]
int_symmetric = _functions["int_symmetric"]
magnitude_aware_sign = _functions["magnitude_aware_sign"]
ste_heaviside = _functions["ste_heaviside"]
ste_sign = _functions["ste_sign"]
ste_tern = _functions["ste_tern"]
swish_sign = _functions["swish_sign"]
xnor_scale = _functions["xnor_scale"]

__all__ = [
    "LSQ",
    "PACT",
    "TTQ",
    "AbsmaxInt8",
    "AbsmeanTernary",
    "AdaBinActivations",
    "AdaBinWeights",
    "ApproxSign",
    "DoReFa",
    "DoReFaQuantizer",
    "EDESign",
    "IntSymmetric",
    "LQLevels",
    "LSQPlus",
    "Libra",
    "MagnitudeAwareSign",
    "NoOp",
    "NoOpQuantizer",
    "Quantizer",
    "RSign",
    "ReCU",
    "Seq",
    "SteHeaviside",
    "SteSign",
    "SteTern",
    "StochasticSign",
    "StochasticTernary",
    "SwishSign",
    "Uniform",
    "XnorPlus",
    "XnorScale",
    "absmax_int8",
    "absmean_ternary",
    "adabin_weights",
    "approx_sign",
    "deserialize",
    "dorefa",
    "entries",
    "get",
    "get_kernel_quantizer",
    "int_symmetric",
    "magnitude_aware_sign",
    "names",
    "register",
    "serialize",
    "ste_heaviside",
    "ste_sign",
    "ste_tern",
    "swish_sign",
    "xnor_scale",
]
