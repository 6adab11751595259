"""The engine on NVIDIA GPUs: TensorRT. Importing it loads neither TensorRT nor CUDA; opening a bundle does."""

from .engine import RUNTIME, TensorRtEngine
from .executor import CAPTURED_AT, MAX_CALLS
from .logits import DeviceResult

__all__ = ["CAPTURED_AT", "MAX_CALLS", "RUNTIME", "DeviceResult", "TensorRtEngine"]
