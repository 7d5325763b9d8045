"""Integer operations of quantized ONNX models, each a node of the domain `ai.larqlite`."""

from larqlite.integer.onnx.layers._add import QuantizedAdd
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._conv import QuantizedConv2D, QuantizedDepthwise2D
from larqlite.integer.onnx.layers._dense import QuantizedDense1D
from larqlite.integer.onnx.layers._quantizers import Dequantizer, InputQuantizer

__all__ = [
    "Dequantizer",
    "InputQuantizer",
    "OnnxLayer",
    "QuantizedAdd",
    "QuantizedConv2D",
    "QuantizedDense1D",
    "QuantizedDepthwise2D",
    "TensorRange",
    "TensorShape",
]
