"""The Triton model's entry point; everything is in trimode.triton.model.

The stub ignores PYTHONPATH, so a checkout that is not installed is found from here.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("trimode") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python_backend"))

from trimode.triton.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
