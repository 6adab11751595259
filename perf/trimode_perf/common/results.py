"""Files of results: what they were measured on, figures rounded to their worth, written whole or not at all.

Names no machine and no path. Needs nothing but Python until a run is described.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import PROJECT

if TYPE_CHECKING:
    from trimode.bundle.manifest import Manifest
    from trimode.config import ServerConfig


def about(command: str, hardware: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return when and by which command something was measured, and on what."""
    head: dict[str, Any] = {"measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "command": command}
    return head if hardware is None else {**head, "hardware": hardware}


def commit() -> str:
    """Return the commit of the checkout, and whether files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def machine() -> dict[str, Any]:
    """Return the cores and the memory of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": os.cpu_count() or 1, "memory_gib": round(memory / 2**30)}


def describe_machine(config: ServerConfig) -> dict[str, Any]:
    """Return the facts of every table that are no model's: processor, threads, versions, load."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": next(named, platform.machine()),
        **machine(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "engine": f"ONNX Runtime {version('onnxruntime')}, CPU execution provider",
        "threads": config.threads or os.cpu_count() or 1,
        "load_average": round(os.getloadavg()[0], 2),
    }


def describe(manifest: Manifest, config: ServerConfig) -> dict[str, Any]:
    """Return the facts that every table names: those of the machine, and the model's."""
    return {
        **describe_machine(config),
        "model": manifest.model,
        "precision": manifest.precision,
        "block_size": manifest.block_size,
        "capacity": manifest.capacity,
    }


def rounded(value: Any) -> Any:
    """Return nested results with every float rounded to five digits, which is more than it is worth."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def save(path: Path, data: dict[str, Any], *, indent: int = 1, sort_keys: bool = False) -> None:
    """Write a file of results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.partial-{os.getpid()}")
    fresh.write_text(json.dumps(data, indent=indent, sort_keys=sort_keys) + "\n", encoding="utf-8")
    fresh.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Return what a file of results has."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
