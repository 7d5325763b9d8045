"""Quantization of ONNX models, and patterns of one's own for it."""

from larqlite.integer.onnx.quantization._custom_patterns import (
    PatternError,
    custom_pattern_scope,
)
from larqlite.integer.onnx.quantization._quantize import quantize_onnx

__all__ = ["PatternError", "custom_pattern_scope", "quantize_onnx"]
