"""Exact integer models: fixed-point tensors, layers, quantization, exports and ONNX."""

import importlib

from larqlite.integer import export, layers, models, tensors

__all__ = ["export", "layers", "models", "onnx", "tensors"]


def __getattr__(name: str):
    if name == "onnx":
        return importlib.import_module("larqlite.integer.onnx")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
