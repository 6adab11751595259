"""Values of the chart for each GPU of each recipe under build/: what is compiled there, and what a pod then takes."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import yaml
from trimode_convert.recipe import COMPILED, OPTIONAL, load_recipe
from trimode_convert.tensorrt.footprint import BASE_MEMORY, BUILD_MEMORY, DEFAULT_BUILD_MEMORY, GB

BUILD = Path(__file__).resolve().parents[2] / "build"
HEAD = """\
# {model} on {gpu}, one GPU to a pod, from build/{model}.yaml. Written by `python -m scripts.render_deploy`.
# The memory of the host is an estimate; none of it was run on this GPU from a chart.
"""
PRODUCTS = {
    "H100-80G": "NVIDIA-H100-80GB-HBM3",
    "H200": "NVIDIA-H200",
    "L40S-48G": "NVIDIA-L40S",
    "RTX4090-24G": "NVIDIA-GeForce-RTX-4090",
}
"""The label nvidia.com/gpu.product that NVIDIA's GPU feature discovery gives to nodes: the name of the driver, with
hyphens (github.com/NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery)."""
HOST_GIB = 6  # beside the plan, which is read into the host's memory: Python, Triton, requests, /dev/shm
PRODUCT_LABEL, RESOURCE = "nvidia.com/gpu.product", "nvidia.com/gpu"


def files() -> dict[str, str]:
    """Return the text of each file of values by its path."""
    found = {}
    for path in sorted(BUILD.glob("*.yaml")):
        for gpu, entry in load_recipe(path)["tensorrt"].items():
            text = yaml.safe_dump(values(path.stem, gpu, entry), sort_keys=False, width=120)
            found[f"helm/trimode/values/{path.stem}-{gpu}.yaml"] = HEAD.format(model=path.stem, gpu=gpu) + text
    return found


def values(model: str, gpu: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the values for one GPU of a recipe."""
    options = {"target": "tensorrt", "flavour": "tensorrt", "gpu": gpu}
    options |= {key: entry[key] for key in (*COMPILED, *OPTIONAL) if key in entry}
    weights = entry["weights_gb"] * GB
    to_build = BUILD_MEMORY.get(entry["precision"], DEFAULT_BUILD_MEMORY) * weights + BASE_MEMORY
    return {
        "modelName": model,
        # the prefix cache of a GPU would go through the host's memory: docs/guides/gpu.md
        "model": {"max_slots": entry["batch"], "prefix_cache_mib": 0},
        "gpu": {"resource": RESOURCE},
        "nodeSelector": {PRODUCT_LABEL: PRODUCTS[gpu]},
        "tolerations": [{"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"}],
        "bundle": {"source": "copy", "copySize": _gibibytes(1.2 * weights)},
        "build": {"enabled": True, "options": options, "resources": _resources(4, to_build)},
        "resources": _resources(4, weights),
    }


def _resources(cpus: int, used: float) -> dict[str, Any]:
    memory = _gibibytes(used, HOST_GIB)
    return {"requests": {"cpu": str(cpus), "memory": memory}, "limits": {"memory": memory}}


def _gibibytes(used: float, more: int = 0) -> str:
    return f"{ceil(used / 2**30) + more}Gi"
