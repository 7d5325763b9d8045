"""An integer model as ONNX with QuantizeLinear and DequantizeLinear."""
