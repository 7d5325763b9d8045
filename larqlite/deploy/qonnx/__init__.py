"""`to_qonnx(model, path)`: the same network with QONNX' quantizers."""
