"""Quantization of ONNX models, which operators become integers, and patterns of one's own."""

from larqlite.integer.onnx.quantization._custom_patterns import (
    PatternError,
    custom_pattern_scope,
)
from larqlite.integer.onnx.quantization._operators import OPERATORS, Operators
from larqlite.integer.onnx.quantization._quantize import quantize_onnx

__all__ = [
    "OPERATORS",
    "Operators",
    "PatternError",
    "custom_pattern_scope",
    "quantize_onnx",
]
