"""Holding a bundle against references: the numpy model and ONNX's own."""
