"""Bundles on disk: when one is up to date, and how it is written; for ONNX Runtime and for TensorRT."""
