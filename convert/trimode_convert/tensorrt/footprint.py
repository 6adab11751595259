"""What a TensorRT engine needs, from shapes alone: GPU memory to run, and disk, memory and time to build.

Weights and cache are exact; workspace, memory and time are estimates whose sources stand beside their constants.
Reads no tensor. Knows nothing of TensorRT's API.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from trimode.errors import BundleError

from ..atomic_folder import HEADROOM
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import ModelConfig
from ..graph.model import draw
from ..graph.precisions import TENSORRT
from .profiles import Shapes

GB = 10**9


@dataclass(frozen=True)
class Gpu:
    """A GPU by its nominal memory, which is a little less than it has, and its compute capability."""

    memory: int
    compute_capability: str


GPUS = {
    "H100-80G": Gpu(80 * GB, "9.0"),
    "H200": Gpu(141 * GB, "9.0"),
    "L40S-48G": Gpu(48 * GB, "8.9"),
    "RTX4090-24G": Gpu(24 * GB, "8.9"),
}
RESERVED = 3 * GB // 2  # the CUDA context, kernels and fragmentation: an allowance, not measured
LIVE_BYTES = 8  # two float32 values alive at once per channel of a token: a guess on the safe side, not measured
LIVE_LOGITS = 3  # logits, scores without the mask id, exponentials; float32 each
# TensorRT-RTX 1.7 on a 2-core CPU, two layers of the released sizes, as a share of the weights: bfloat16 and fp8 took
# about 2.1 times their bytes of memory and 5 to 15 s a GB, int4 about 3.3 times and 49 s a GB; rounded up here. A whole
# 3B-shaped model in int8 then took 97 s and 9.5 GB (hashing and export included) where this says 126 s and 11.7 GB. The
# data-centre TensorRT times kernels on its GPU besides, which was not measured.
BUILD_MEMORY = {"int4": 3.5, "nvfp4": 3.5}
DEFAULT_BUILD_MEMORY = 2.5
BUILD_SECONDS_PER_GB = {"int4": 50.0, "nvfp4": 50.0}
DEFAULT_SECONDS_PER_GB = 15.0
BASE_MEMORY = GB
BASE_SECONDS = 10.0
EXPORT_BYTES_PER_SECOND = 150e6  # of the checkpoint, hashing included, on the same machine


@dataclass(frozen=True)
class Footprint:
    """Bytes on the GPU: weights once, workspace of the largest call; per sequence keys and values at full capacity.

    And per sequence a block's rows of logits, which are kept where a pass over all of them takes several calls.
    """

    weights: int
    kv_per_slot: int
    logits_per_slot: int
    workspace: int

    def slots(self, memory: int) -> int:
        """Return how many sequences of full capacity fit beside weights and workspace; negative if those do not."""
        return math.floor((memory - RESERVED - self.weights - self.workspace) / self.per_slot)

    @property
    def per_slot(self) -> int:
        """Bytes of one sequence."""
        return self.kv_per_slot + self.logits_per_slot


@dataclass(frozen=True)
class BuildCost:
    """What a build takes: bytes of disk beside the finished bundle's place, bytes of memory, seconds."""

    disk: int
    memory: int
    seconds: float


def footprint(
    config: ModelConfig, precision: str, shapes: Shapes, *, adapter_rank: int = 0, weights: int | None = None
) -> Footprint:
    """Return what the engine of a model takes on the GPU.

    Args:
        weights: bytes of the weights where they are known; else they are planned from the config.

    Raises:
        CheckpointError: the precision does not fit the dimensions, or there is none of that name.
    """
    if weights is None:
        checkpoint = Checkpoint.of_shapes(config, adapter_rank)
        drawn = draw(checkpoint, target=TENSORRT, precision=precision, capacity=shapes.capacity, location="none")
        weights = drawn.weights.total_bytes
    item = 4 if TENSORRT.precision(precision).dtype == "float32" else 2
    kv = 2 * config.num_layers * config.num_kv_heads * config.head_dim * item * shapes.capacity
    workspace = max(_workspace(config, shapes, one.batch[2], one.seq[2]) for one in shapes.profiles())
    return Footprint(weights, kv, shapes.block * config.vocab_size * 4, workspace)


def _workspace(config: ModelConfig, shapes: Shapes, rows: int, tokens: int) -> int:
    """Activations of a call of so many rows of so many tokens, its mask, and its rows of logits."""
    channels = 2 * config.hidden_size + config.query_width + 2 * config.kv_width + 2 * config.intermediate_size
    activations = rows * tokens * channels * LIVE_BYTES
    mask = rows * tokens * shapes.capacity
    logits = rows * shapes.block * config.vocab_size * 4 * LIVE_LOGITS
    return activations + mask + logits


def build_cost(checkpoint_bytes: int, weight_bytes: int, precision: str, *, done: int = 0) -> BuildCost:
    """Return what a build takes: the exported weights and the plan, which holds them again, are on disk together.

    Args:
        done: bytes of parts that an earlier build has left on disk and that are not made again.
    """
    pace = BUILD_SECONDS_PER_GB.get(precision, DEFAULT_SECONDS_PER_GB)
    export = 0.0 if done else checkpoint_bytes / EXPORT_BYTES_PER_SECOND
    return BuildCost(
        disk=2 * weight_bytes + HEADROOM - done,
        memory=BASE_MEMORY + round(BUILD_MEMORY.get(precision, DEFAULT_BUILD_MEMORY) * weight_bytes),
        seconds=BASE_SECONDS + export + pace * weight_bytes / GB,
    )


def check_build(cost: BuildCost, out: Path, *, available: int | None = None) -> None:
    """Refuse before any work what the disk or the memory cannot hold.

    Args:
        available: bytes of memory; None asks the system.

    Raises:
        BundleError: names what is too small, what is needed and what there is.
    """
    place = out.absolute().parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < cost.disk:
        raise BundleError(f"disk: the build needs {gigabytes(cost.disk)} at {place}, free are {gigabytes(free)}")
    memory = available_memory() if available is None else available
    if memory is not None and memory < cost.memory:
        raise BundleError(
            f"memory: the build needs about {gigabytes(cost.memory)}, available are {gigabytes(memory)}. Compile on a "
            "machine with more, or in a smaller precision (fp8, int4)"
        )


def check_gpu(need: Footprint, name: str, memory: int) -> None:
    """Refuse an engine that its GPU cannot hold with one sequence.

    Raises:
        BundleError: names the GPU, what is needed part by part and what there is.
    """
    if need.slots(memory) < 1:
        whole = need.weights + need.per_slot + need.workspace + RESERVED
        raise BundleError(
            f"GPU memory: {name} has {gigabytes(memory)}, one sequence needs {gigabytes(whole)}: weights "
            f"{gigabytes(need.weights)}, keys, values and logits {gigabytes(need.per_slot)}, workspace "
            f"{gigabytes(need.workspace)}, reserve {gigabytes(RESERVED)}. Choose a smaller precision, capacity or batch"
        )


def available_memory() -> int | None:
    """Return the bytes that can be taken without swapping, or None where the system does not say."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def gigabytes(count: int) -> str:
    """Return a size for people."""
    return f"{count / GB:,.2f} GB"
