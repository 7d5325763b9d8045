"""`to_qonnx(model, path)`: the same network with QONNX' quantizers."""

from larqlite.deploy.qonnx._to_qonnx import to_qonnx

__all__ = ["to_qonnx"]
