"""The GPU of this machine, as nvidia-smi tells it; nothing where there is none.

Knows one command line. Not run on a GPU by the tests, which put a stand-in for nvidia-smi on the path.
"""

from __future__ import annotations

import subprocess

from .footprint import Gpu

QUERY = ("nvidia-smi", "--query-gpu=compute_cap,memory.total", "--format=csv,noheader,nounits")
MEBIBYTE = 1 << 20
TIMEOUT_S = 20


def local_gpu() -> Gpu | None:
    """Return the first GPU, or None where nvidia-smi is missing, fails or says something else."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        capability, memory = done.stdout.splitlines()[0].split(",")
        return Gpu(int(memory) * MEBIBYTE, capability.strip())
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
