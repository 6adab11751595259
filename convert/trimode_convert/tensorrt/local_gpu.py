"""The GPU of this machine as CUDA describes it, or else as nvidia-smi reports it; None where there is none.

CUDA knows the slice of a GPU (MIG) that a process sees; nvidia-smi gives the memory of the whole card. The tests run
both with stand-ins, not on a GPU.
"""

from __future__ import annotations

import importlib
import subprocess

from trimode.bundle.compilation import Device
from trimode.errors import BundleError

from .footprint import Gpu

BINDINGS = "cuda.bindings.runtime"
QUERY = ("nvidia-smi", "--query-gpu=compute_cap,memory.total,mig.mode.current", "--format=csv,noheader,nounits")
MEBIBYTE = 1 << 20
TIMEOUT_S = 20  # seconds; far more than nvidia-smi takes, unless the driver hangs
SLICED = (
    "GPU memory: this GPU is divided into slices (MIG), and nvidia-smi gives the memory of the whole card. Install "
    "what asks CUDA for the slice's: pip install -e '.[gpu]' in the repository"
)


def local_gpu() -> Gpu | None:
    """Return the first GPU that this process sees, or None if neither CUDA nor nvidia-smi finds one.

    Raises:
        BundleError: it is a slice of a GPU, and CUDA cannot be asked how large.
    """
    return _by_cuda() or _by_nvidia_smi()


def _by_cuda() -> Gpu | None:
    try:
        cuda = importlib.import_module(BINDINGS)
        code, found = cuda.cudaGetDeviceProperties(0)
    except (ImportError, OSError, RuntimeError):  # RuntimeError is how the bindings say that there is no driver
        return None
    if code != cuda.cudaError_t.cudaSuccess:
        return None
    device = Device.of(found)
    return Gpu(device.memory, f"{found.major}.{found.minor}", device)


def _by_nvidia_smi() -> Gpu | None:
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        capability, memory, sliced = (part.strip() for part in done.stdout.splitlines()[0].split(","))
        found = Gpu(int(memory) * MEBIBYTE, capability)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    if sliced == "Enabled":
        raise BundleError(SLICED)
    return found
