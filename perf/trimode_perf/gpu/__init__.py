"""`make gpu-check`: parity and speed of the engines on an NVIDIA GPU; needs Python, torch and this checkout."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before a module imports ONNX Runtime, which reports to Microsoft otherwise
