"""Parts of a graph as models of their own for ONNX Runtime."""
