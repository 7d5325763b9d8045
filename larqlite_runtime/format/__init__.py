"""The format of packed values, for whoever reads, plans or computes them."""

from larqlite_runtime.format._codes import (
    TERNARY,
    coding_of,
    float_weights,
    unpacked_codes,
)
from larqlite_runtime.format._quantizers import steps_codes, ternary
from larqlite_runtime.format._words import pack, unpack, words_of

__all__ = [
    "TERNARY",
    "coding_of",
    "float_weights",
    "pack",
    "steps_codes",
    "ternary",
    "unpack",
    "unpacked_codes",
    "words_of",
]
