"""The ONNX graph: layers, heads, precisions."""
