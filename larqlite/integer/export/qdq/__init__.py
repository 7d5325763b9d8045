"""An integer model as ONNX with QuantizeLinear and DequantizeLinear."""

from larqlite.integer.export.qdq._to_qdq import write_qdq

__all__ = ["write_qdq"]
