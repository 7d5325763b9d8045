"""Exact integer models: fixed-point tensors, layers, quantization and ONNX."""

from larqlite.integer import tensors

__all__ = ["tensors"]
