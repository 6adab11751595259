"""All tests. Some import ONNX Runtime themselves, which reports to Microsoft unless it is forbidden before."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
