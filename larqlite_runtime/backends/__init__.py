"""What runs an `ExecutionPlan`: native kernels or NumPy, and ONNX Runtime."""

from larqlite_runtime.backends._engine import Engine, build_engine
from larqlite_runtime.backends._workspace import Workspace

__all__ = ["Engine", "Workspace", "build_engine"]
