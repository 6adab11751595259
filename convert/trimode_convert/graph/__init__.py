"""The model as an ONNX graph: layers, rotation, heads, and the precisions of its products. Reads no tensor."""

from .model import Blueprint, draw

__all__ = ["Blueprint", "draw"]
