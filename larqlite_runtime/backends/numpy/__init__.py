"""The program in NumPy, the reference of the kernels; and segments, without ONNX Runtime."""

from larqlite_runtime.backends.numpy._epilogues import Run
from larqlite_runtime.backends.numpy._kernels import run
from larqlite_runtime.backends.numpy._session import (
    NumpySession,
    SegmentNode,
    cannot_run,
)

__all__ = ["NumpySession", "Run", "SegmentNode", "cannot_run", "run"]
