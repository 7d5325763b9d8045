"""Parts of a graph as models of their own for ONNX Runtime, and sessions that run them."""

from larqlite_runtime.backends.onnxruntime._segment import SegmentModel
from larqlite_runtime.backends.onnxruntime._session import (
    INSTALL,
    imported,
    is_installed,
    session,
)

__all__ = ["INSTALL", "SegmentModel", "imported", "is_installed", "session"]
