"""The graph of an ONNX file: what it is made of, how it is written, checked and laid out."""
