"""The GPU of this machine as nvidia-smi reports it, or None.

Knows one command line. The tests run it with a stand-in for nvidia-smi, not on a GPU.
"""

from __future__ import annotations

import subprocess

from .footprint import Gpu

QUERY = ("nvidia-smi", "--query-gpu=compute_cap,memory.total", "--format=csv,noheader,nounits")
MEBIBYTE = 1 << 20
TIMEOUT_S = 20  # seconds; far more than nvidia-smi takes, unless the driver hangs


def local_gpu() -> Gpu | None:
    """Return the first GPU, or None if nvidia-smi is missing, fails, or prints something unexpected."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        capability, memory = done.stdout.splitlines()[0].split(",")
        return Gpu(int(memory) * MEBIBYTE, capability.strip())
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
