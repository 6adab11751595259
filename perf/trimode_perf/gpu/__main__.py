"""`python -m trimode_perf.gpu`: runs check.py, or says what it lacks where there is no torch."""

from __future__ import annotations

import importlib
import sys


def main() -> int:
    """Return the exit status."""
    try:
        importlib.import_module("torch")
    except ImportError as exc:
        print(f"gpu-check: torch cannot be imported: {exc}; PYTHON=... names a Python with it", file=sys.stderr)
        return 1
    return int(importlib.import_module("trimode_perf.gpu.check").main())


if __name__ == "__main__":
    sys.exit(main())
