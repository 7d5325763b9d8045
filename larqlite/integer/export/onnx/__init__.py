"""An integer model as ONNX of integers."""

from larqlite.integer.export.onnx._integer_converters import CONVERTERS, converts
from larqlite.integer.export.onnx._to_onnx import write_onnx

__all__ = ["CONVERTERS", "converts", "write_onnx"]
