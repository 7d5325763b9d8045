"""Float ONNX models quantized to integers, which a stock ONNX Runtime runs."""

from larqlite.integer.onnx import layers, quantization
from larqlite.integer.onnx.quantization import quantize_onnx

__all__ = ["layers", "quantization", "quantize_onnx"]
