"""From a quantization-aware model to a TFLite file, and how the two compare."""

from larqlite.qat.tflite._compare import compare_tflite
from larqlite.qat.tflite._comparison import LayerComparison, TFLiteComparison
from larqlite.qat.tflite._convert import TFLiteModel, to_tflite

__all__ = [
    "LayerComparison",
    "TFLiteComparison",
    "TFLiteModel",
    "compare_tflite",
    "to_tflite",
]
