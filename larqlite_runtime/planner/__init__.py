"""From a `Graph` to a `Program` and the segments that ONNX Runtime runs."""
