"""The footprint of a TensorRT plan, from shapes alone: GPU memory to run it, and disk, memory and time to build it.

Weights and cache are exact. Workspace, memory and time are estimates; the comment at each constant gives its source.
Reads no tensor. Knows nothing about TensorRT's API.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from trimode.bundle.compilation import Device, Profile
from trimode.bundle.host_memory import host_memory
from trimode.bundle.kv_memory import kv_bytes
from trimode.errors import BundleError

from ..atomic_folder import HEADROOM
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import ModelConfig
from ..checkpoint.vision_config import VisionConfig
from ..graph.model import draw
from ..graph.precisions import TENSORRT
from ..graph.tower import draw_tower
from .profiles import Shapes, tower_patches

GB = 10**9  # bytes


@dataclass(frozen=True)
class Gpu:
    """A GPU: its nominal memory in bytes, which is a little less than it has, and its compute capability.

    `device` is what CUDA says of a GPU of this machine.
    """

    memory: int
    compute_capability: str
    device: Device | None = None


GPUS = {
    "H100-80G": Gpu(80 * GB, "9.0"),
    "H200": Gpu(141 * GB, "9.0"),
    "L40S-48G": Gpu(48 * GB, "8.9"),
    "RTX4090-24G": Gpu(24 * GB, "8.9"),
}
RESERVED = 3 * GB // 2  # bytes for the CUDA context, kernels and fragmentation: an allowance, not measured
LIVE_BYTES = 8  # bytes per channel of a token, two float32 values at once: a guess on the safe side, not measured
LOGIT_BYTES = 6  # of a logit: in float32, which the engine keeps, and before that in 16 bits. The choice keeps no copy
# Measured with TensorRT-RTX 1.7 on a 2-core CPU, for two layers of the released sizes, relative to the weights:
# bfloat16 and fp8 took about 2.1 times their bytes of memory and 5 to 15 s per GB, int4 about 3.3 times and 49 s per
# GB. The figures here are rounded up. A whole 3B-shaped model in int8 then took 97 s and 9.5 GB (hashing and export
# included) where these constants give 126 s and 11.7 GB. The data-centre TensorRT also times kernels on its GPU, which
# was not measured.
BUILD_MEMORY = {"int4": 3.5, "nvfp4": 3.5}  # bytes of memory per byte of weights
DEFAULT_BUILD_MEMORY = 2.5  # the same, for the other precisions
BUILD_SECONDS_PER_GB = {"int4": 50.0, "nvfp4": 50.0}  # of weights
DEFAULT_SECONDS_PER_GB = 15.0  # the same, for the other precisions
BASE_MEMORY = GB  # bytes that a build takes whatever its weights
BASE_SECONDS = 10.0  # seconds that a build takes whatever its weights
EXPORT_BYTES_PER_SECOND = 150e6  # of the checkpoint, hashing included, on the same machine


@dataclass(frozen=True)
class Footprint:
    """Bytes on the GPU: the weights, the workspace of the largest call, and what each sequence needs.

    A sequence needs keys and values at full capacity, and a block's rows of logits, which are kept when a pass over all
    sequences takes several calls. What a quadratic pass asks for beyond that is kept in the host's memory. `tower` is
    all that encoding pictures takes, at the same time as a call: 0 where the checkpoint reads text alone.
    """

    weights: int
    kv_per_slot: int
    logits_per_slot: int
    workspace: int
    tower: int = 0

    @property
    def once(self) -> int:
        """Bytes that do not depend on the number of sequences, with what is kept in reserve."""
        return RESERVED + self.weights + self.workspace + self.tower

    def slots(self, memory: int) -> int:
        """Return how many sequences fit next to weights and workspace; negative if those alone do not fit."""
        return math.floor((memory - self.once) / self.per_slot)

    @property
    def per_slot(self) -> int:
        """Bytes of one sequence."""
        return self.kv_per_slot + self.logits_per_slot


@dataclass(frozen=True)
class BuildCost:
    """The cost of a build: bytes of disk at the bundle's place, bytes of memory, seconds."""

    disk: int
    memory: int
    seconds: float


def footprint(
    config: ModelConfig,
    precision: str,
    shapes: Shapes,
    *,
    adapter_rank: int = 0,
    weights: int | None = None,
    tower_weights: int | None = None,
) -> Footprint:
    """Return the GPU memory that a model's plans need.

    Args:
        weights, tower_weights: their bytes if they are known; otherwise they are computed from the config.

    Raises:
        CheckpointError: the precision does not fit the dimensions, or does not exist.
    """
    checkpoint = Checkpoint.of_shapes(config, adapter_rank)
    if weights is None:
        drawn = draw(checkpoint, target=TENSORRT, precision=precision, capacity=shapes.capacity, location="none")
        weights = drawn.weights.total_bytes
    item = 4 if TENSORRT.precision(precision).dtype == "float32" else 2
    kv = kv_bytes(config, shapes.capacity, item)
    workspace = max(_workspace(config, shapes, one, item) for one in shapes.profiles())
    tower = 0
    if config.vision is not None:
        if tower_weights is None:
            drawn = draw_tower(checkpoint, target=TENSORRT, precision=precision, location="none")
            tower_weights = drawn.weights.total_bytes
        tower = tower_weights + _tower_workspace(config.vision, config.hidden_size, fused=item == 2)
    return Footprint(weights, kv, shapes.block * config.vocab_size * 4, workspace, tower)


def _workspace(config: ModelConfig, shapes: Shapes, profile: Profile, item: int) -> int:
    """Return the bytes of a profile's largest call: activations, mask, rows of logits, and keys and values of a layer.

    The graph's Slice copies these before attention reads them: `item` bytes a number, at full capacity.
    """
    rows, tokens = profile.batch[2], profile.seq[2]
    channels = 2 * config.hidden_size + config.query_width + 2 * config.kv_width + 2 * config.intermediate_size
    activations = rows * tokens * channels * LIVE_BYTES
    mask = rows * tokens * shapes.capacity
    logits = rows * profile.rows[2] * config.vocab_size * LOGIT_BYTES
    copies = 2 * rows * config.kv_width * shapes.capacity * item
    pictures = 0 if config.vision is None else profile.images[2] * config.hidden_size * 4  # the rows they are read from
    return activations + mask + logits + copies + pictures


def _tower_workspace(config: VisionConfig, hidden_size: int, *, fused: bool) -> int:
    """Return the bytes of a tower's largest pass: activations, mask, patches, and the rows that come of them.

    With TensorRT-RTX 1.7, one layer of VLM-8B's tower took 0.44 GB at 10,000 patches and 0.15 GB at 4,096, in bfloat16
    on compute capability 8.9; this says 1.23 and 0.48 GB for it. Where attention has no kernel of its own, as in
    float32, all scores of a layer are in memory twice: that took 2.27 GB at 4,096.
    """
    patches = tower_patches(config)[-1][2]
    channels = 5 * config.hidden_size + 2 * config.intermediate_size
    activations = patches * channels * LIVE_BYTES
    scores = patches**2 * (1 if fused else 1 + 8 * config.num_heads)
    given = patches * (config.patch_width * 4 + 16)
    return activations + scores + given + patches // config.merge**2 * hidden_size * 4


def build_cost(
    checkpoint_bytes: int, weight_bytes: int, precision: str, *, done: int = 0, largest: int | None = None
) -> BuildCost:
    """Return the cost of a build. The exported weights and the plan, which contains them too, are on disk together.

    Args:
        done: bytes of the parts that an earlier build left on disk and that this one reuses.
        largest: bytes of the weights that are compiled at once, where there are several plans; None means all.
    """
    at_once = weight_bytes if largest is None else largest
    pace = BUILD_SECONDS_PER_GB.get(precision, DEFAULT_SECONDS_PER_GB)
    export = 0.0 if done else checkpoint_bytes / EXPORT_BYTES_PER_SECOND
    return BuildCost(
        disk=2 * weight_bytes + HEADROOM - done,
        memory=BASE_MEMORY + round(BUILD_MEMORY.get(precision, DEFAULT_BUILD_MEMORY) * at_once),
        seconds=BASE_SECONDS + export + pace * weight_bytes / GB,
    )


def check_build(cost: BuildCost, out: Path, *, available: int | None = None) -> None:
    """Refuse, before any work, a build that the disk or the memory cannot hold.

    Args:
        available: bytes of memory; None means that the system is asked.

    Raises:
        BundleError: names what is too small, how much is needed and how much is available.
    """
    place = out.absolute().parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < cost.disk:
        raise BundleError(f"disk: the build needs {gigabytes(cost.disk)} at {place}, {gigabytes(free)} are free")
    found = host_memory()
    memory = available if available is not None or found is None else found[0]
    if memory is not None and memory < cost.memory:
        raise BundleError(
            f"memory: the build needs about {gigabytes(cost.memory)}, {gigabytes(memory)} are available. Compile on a "
            "machine with more memory, or in a smaller precision (fp8, int4)"
        )


def check_gpu(need: Footprint, name: str, memory: int) -> None:
    """Refuse a plan that its GPU cannot hold together with one sequence.

    Raises:
        BundleError: names the GPU, how much each part needs and how much memory there is.
    """
    if need.slots(memory) < 1:
        whole = need.once + need.per_slot
        pictures = f"pictures {gigabytes(need.tower)}, " if need.tower else ""
        raise BundleError(
            f"GPU memory: {name} has {gigabytes(memory)}, one sequence needs {gigabytes(whole)}: weights "
            f"{gigabytes(need.weights)}, keys, values and logits {gigabytes(need.per_slot)}, workspace "
            f"{gigabytes(need.workspace)}, {pictures}reserve {gigabytes(RESERVED)}. Choose a smaller precision, "
            "capacity, batch or quadratic draft"
        )


def gigabytes(count: int) -> str:
    """Return a size as text for people."""
    return f"{count / GB:,.2f} GB"
