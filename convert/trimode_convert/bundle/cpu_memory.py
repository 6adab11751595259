"""The memory that a bundle takes in ONNX Runtime, from its manifest or from shapes alone. Reads no tensor."""

from __future__ import annotations

from dataclasses import dataclass

from trimode.bundle.kv_memory import kv_bytes
from trimode.bundle.manifest import TOWER_WEIGHTS, WEIGHTS, Manifest

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import ModelConfig
from ..graph.model import draw
from ..graph.precisions import ONNXRUNTIME
from ..graph.tower import draw_tower
from .facts import buckets

VALUE_BYTES = 4  # of a number of the cache: float32


@dataclass(frozen=True)
class CpuMemory:
    """Bytes: the files of weights, a tower's included, and the most that the keys and values of a slot take.

    They are float32. The engine keeps an array for each bucket that was used, so a sequence that grows to the full
    capacity leaves entries in all of them: nearly twice its capacity.
    """

    weights: int
    kv_per_slot: int

    @classmethod
    def of(cls, manifest: Manifest) -> CpuMemory:
        """Return what a bundle takes."""
        weights = manifest.files[WEIGHTS] + manifest.files.get(TOWER_WEIGHTS, 0)
        return cls(weights, kv_bytes(manifest, sum(manifest.buckets), VALUE_BYTES))

    def total(self, slots: int) -> int:
        """Return the bytes with `slots` slots."""
        return self.weights + slots * self.kv_per_slot


def cpu_memory(config: ModelConfig, precision: str, capacity: int, *, adapter_rank: int = 0) -> CpuMemory:
    """Return what a model needs on the CPU for sequences of `capacity` tokens, of which no file has to be there.

    Raises:
        CheckpointError: ONNX Runtime does not have the precision.
    """
    checkpoint = Checkpoint.of_shapes(config, adapter_rank)
    drawn = draw(checkpoint, target=ONNXRUNTIME, precision=precision, capacity=capacity, location="none")
    weights = drawn.weights.total_bytes
    if config.vision is not None:
        tower = draw_tower(checkpoint, target=ONNXRUNTIME, precision=precision, location="none")
        weights += tower.weights.total_bytes
    return CpuMemory(weights, kv_bytes(config, sum(buckets(capacity)), VALUE_BYTES))
