"""Turns a Hugging Face checkpoint into an engine bundle. Needs no PyTorch and never holds a whole model in memory."""

import os

import trimode  # noqa: F401  # so that old names of this package's modules are found, for one release

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before a module imports ONNX Runtime, which reports to Microsoft otherwise
