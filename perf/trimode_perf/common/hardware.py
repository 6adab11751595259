"""What a run was made on: processor, cores, threads, versions, load. No machine names, no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig


def describe(manifest: Manifest, config: ServerConfig) -> dict[str, Any]:
    """Return the facts that every table names."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": next(named, platform.machine()),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "engine": f"ONNX Runtime {version('onnxruntime')}, CPU execution provider",
        "threads": config.threads or os.cpu_count() or 1,
        "model": manifest.model,
        "precision": manifest.precision,
        "block_size": manifest.block_size,
        "capacity": manifest.capacity,
        "load_average": round(os.getloadavg()[0], 2),
    }
