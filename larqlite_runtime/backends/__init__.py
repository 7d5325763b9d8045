"""What runs an `ExecutionPlan`: native kernels or NumPy, and ONNX Runtime."""

from larqlite_runtime.backends._c_structures import ABI
from larqlite_runtime.backends._engine import Engine, build_engine
from larqlite_runtime.backends._native import supports
from larqlite_runtime.backends._pieces import (
    BatchCut,
    bytes_kept,
    pieces_of,
    threads_of,
    workspace_bytes,
)
from larqlite_runtime.backends._run_program import run_program
from larqlite_runtime.backends._workspace import Workspace

__all__ = [
    "ABI",
    "Engine",
    "BatchCut",
    "Workspace",
    "build_engine",
    "bytes_kept",
    "pieces_of",
    "run_program",
    "supports",
    "threads_of",
    "workspace_bytes",
]
