"""The engine on NVIDIA GPUs: TensorRT. Importing it loads neither TensorRT nor CUDA; opening a bundle does."""

from .engine import RUNTIME, TensorRtEngine

__all__ = ["RUNTIME", "TensorRtEngine"]
