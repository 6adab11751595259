"""Values of the chart for the recipes under build/, and what a pod then takes.

For each GPU of a recipe what TensorRT compiles there; and for PyTorch one file for any GPU that is large enough.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import yaml
from trimode.config import AUTO
from trimode_convert.recipe import COMPILED, OPTIONAL, load_recipe
from trimode_convert.tensorrt.footprint import BASE_MEMORY, BUILD_MEMORY, DEFAULT_BUILD_MEMORY, GB

BUILD = Path(__file__).resolve().parents[2] / "build"
HEAD = """\
# {model} on {gpu}, one GPU to a pod, from build/{model}.yaml. Written by `python -m scripts.render_deploy`.
# The memory of the host is an estimate; none of it was run on this GPU from a chart.
"""
TORCH_HEAD = """\
# {model} through PyTorch, one GPU to a pod, from build/{model}.yaml. Written by `python -m scripts.render_deploy`.
# Nothing is compiled: the checkpoint must be on the claim for checkpoints, in the folder {model}. It takes a GPU of
# about {memory} GB for 16 sequences, or with build.options.precision=fp8, from compute capability 8.9 on, about
# {fp8} GB; and an image with PyTorch: build/Dockerfile with the build argument EXTRAS=serve,convert,torch.
# These figures are estimates; none of it was run on a GPU from a chart.
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
SLOTS = 16  # for which the head of PyTorch's values says how large a GPU must be; max_slots is auto
TORCH_GB = 4  # beside weights and cache: activations, CUDA's libraries and graphs, logits, lanes' margins; a guess
FP8_SHARE = 0.6  # of the weights' bytes in bfloat16: the layers' products have half, embedding and head all of theirs
TO_LINK_GIB = 2  # to hash a checkpoint and to write links, which holds no tensor
FOLDER = "helm/trimode/values"
PRODUCT_LABEL, RESOURCE = "nvidia.com/gpu.product", "nvidia.com/gpu"


def files() -> dict[str, str]:
    """Return the text of each file of values by its path, for the models that are fetched."""
    found = {}
    for path in sorted(BUILD.glob("*.yaml")):
        model, recipe = path.stem, load_recipe(path)
        if "fetch" not in recipe:  # what ships is no released model
            continue
        for gpu, entry in recipe["tensorrt"].items():
            found[f"{FOLDER}/{model}-{gpu}.yaml"] = HEAD.format(model=model, gpu=gpu) + _dumped(
                values(model, gpu, entry)
            )
        if entry := next((one for one in recipe["tensorrt"].values() if one["precision"] == "bfloat16"), None):
            weights, slots = (
                _weights_gb(entry),
                SLOTS * entry["kv_gb_per_slot"] / entry["capacity"] * recipe["capacity"],
            )
            sizes = {"memory": ceil(weights + slots) + TORCH_GB, "fp8": ceil(weights * FP8_SHARE + slots) + TORCH_GB}
            text = TORCH_HEAD.format(model=model, **sizes) + _dumped(torch_values(model, recipe["capacity"], weights))
            found[f"{FOLDER}/{model}-torch.yaml"] = text
    return found


def torch_values(model: str, capacity: int, weights_gb: float) -> dict[str, Any]:
    """Return the values for the engine on PyTorch, on any GPU."""
    return {
        "image": {"repository": "trimode-torch"},
        "modelName": model,
        "model": {"max_slots": AUTO, "prefix_cache_mib": 0},
        "gpu": {"resource": RESOURCE},
        "tolerations": [{"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"}],
        "bundle": {"source": "link"},
        "build": {
            "options": {"target": "torch", "precision": "bfloat16", "capacity": capacity},
            "resources": _resources(2, 0, TO_LINK_GIB),
        },
        "resources": _resources(4, weights_gb * GB),
    }


def _weights_gb(entry: dict[str, Any]) -> float:
    """Return the GB of a recipe's plans, of which the tower's is counted with the memory of its pass."""
    return float(entry["weights_gb"] + entry.get("tower_gb", 0))


def _dumped(found: dict[str, Any]) -> str:
    return yaml.safe_dump(found, sort_keys=False, width=120)


def values(model: str, gpu: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the values for one GPU of a recipe."""
    options = {"target": "tensorrt", "flavour": "tensorrt", "gpu": gpu}
    options |= {key: entry[key] for key in (*COMPILED, *OPTIONAL) if key in entry}
    weights = _weights_gb(entry) * GB
    to_build = BUILD_MEMORY.get(entry["precision"], DEFAULT_BUILD_MEMORY) * weights + BASE_MEMORY
    return {
        "modelName": model,
        # the prefix cache of a GPU would go through the host's memory: docs/guides/gpu.md
        "model": {"max_slots": AUTO, "prefix_cache_mib": 0},  # at most the rows of a call, which are the recipe's batch
        "gpu": {"resource": RESOURCE},
        "nodeSelector": {PRODUCT_LABEL: PRODUCTS[gpu]},
        "tolerations": [{"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"}],
        "bundle": {"source": "copy", "copySize": _gibibytes(1.2 * weights)},
        "build": {"enabled": True, "options": options, "resources": _resources(4, to_build)},
        "resources": _resources(4, weights),
    }


def _resources(cpus: int, used: float, more: int = HOST_GIB) -> dict[str, Any]:
    memory = _gibibytes(used, more)
    return {"requests": {"cpu": str(cpus), "memory": memory}, "limits": {"memory": memory}}


def _gibibytes(used: float, more: int = 0) -> str:
    return f"{ceil(used / 2**30) + more}Gi"
