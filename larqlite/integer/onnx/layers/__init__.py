"""Integer operations of quantized ONNX models, each a node of the domain `ai.larqlite`."""

from larqlite.integer.onnx.layers._add import QuantizedAdd
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._conv import (
    QuantizedConv2D,
    QuantizedConvTranspose2D,
    QuantizedDepthwise2D,
    QuantizedSeriesConv,
    QuantizedSeriesConvTranspose,
)
from larqlite.integer.onnx.layers._dense import QuantizedDense1D
from larqlite.integer.onnx.layers._elementwise import QuantizedMul, QuantizedSum
from larqlite.integer.onnx.layers._function import QuantizedFunction
from larqlite.integer.onnx.layers._mean import QuantizedGlobalAveragePool
from larqlite.integer.onnx.layers._moves import QuantizedConcat, QuantizedMove
from larqlite.integer.onnx.layers._quantizers import Dequantizer, InputQuantizer

__all__ = [
    "Dequantizer",
    "InputQuantizer",
    "OnnxLayer",
    "QuantizedAdd",
    "QuantizedConcat",
    "QuantizedSeriesConv",
    "QuantizedConv2D",
    "QuantizedSeriesConvTranspose",
    "QuantizedConvTranspose2D",
    "QuantizedDense1D",
    "QuantizedDepthwise2D",
    "QuantizedFunction",
    "QuantizedGlobalAveragePool",
    "QuantizedMove",
    "QuantizedMul",
    "QuantizedSum",
    "TensorRange",
    "TensorShape",
]
