"""Parts of a graph as models of their own for ONNX Runtime."""

from larqlite_runtime.backends.onnxruntime._segment import SegmentModel

__all__ = ["SegmentModel"]
