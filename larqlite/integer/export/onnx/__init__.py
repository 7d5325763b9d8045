"""An integer model as ONNX of integers."""
