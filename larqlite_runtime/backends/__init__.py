"""What runs a plan: the native kernels, NumPy, and ONNX Runtime for segments."""
