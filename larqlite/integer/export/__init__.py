"""Integer Keras models as files: ONNX of integers, ONNX with QDQ, int8 TFLite."""

from __future__ import annotations

from larqlite.integer.export._comparison import (
    Comparison,
    IntegerLayerComparison,
    LayerComparison,
)
from larqlite.integer.export._public import compare, to_onnx, to_qdq, to_tflite

__all__ = [
    "Comparison",
    "IntegerLayerComparison",
    "LayerComparison",
    "compare",
    "to_onnx",
    "to_qdq",
    "to_tflite",
]
