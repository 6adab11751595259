"""Writing bundles: for ONNX Runtime, for TensorRT."""
