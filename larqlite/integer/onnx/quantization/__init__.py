"""Quantization of ONNX models, and patterns of one's own for it."""

from larqlite.integer.onnx.quantization._errors import PatternError
from larqlite.integer.onnx.quantization._quantize import quantize_onnx
from larqlite.integer.onnx.quantization._scope import custom_pattern_scope

__all__ = ["PatternError", "custom_pattern_scope", "quantize_onnx"]
