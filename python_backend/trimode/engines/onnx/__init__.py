"""The engine on the CPU: ONNX Runtime, whose telemetry is off."""

import os

# ONNX Runtime 1.31 reports to Microsoft and writes a device id below ~/.cache unless this is set when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
