"""The engine on NVIDIA GPUs: TensorRT. Importing it loads neither TensorRT nor CUDA; opening a bundle does."""

from ..device_result import DeviceResult
from .engine import RUNTIME, TensorRtEngine
from .executor import CAPTURED_AT, MAX_CALLS

__all__ = ["CAPTURED_AT", "MAX_CALLS", "RUNTIME", "DeviceResult", "TensorRtEngine"]
