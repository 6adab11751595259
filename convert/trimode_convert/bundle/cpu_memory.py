"""The memory of a bundle for ONNX Runtime, from shapes alone: weights, keys and values. Reads no tensor."""

from __future__ import annotations

from dataclasses import dataclass

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import ModelConfig
from ..graph.model import draw
from ..graph.precisions import ONNXRUNTIME


@dataclass(frozen=True)
class CpuMemory:
    """Bytes: the weight file, and the keys and values of one sequence of full capacity, which are float32."""

    weights: int
    kv_per_slot: int

    def total(self, slots: int) -> int:
        """Return the bytes with `slots` sequences."""
        return self.weights + slots * self.kv_per_slot


def cpu_memory(config: ModelConfig, precision: str, capacity: int, *, adapter_rank: int = 0) -> CpuMemory:
    """Return what a model needs on the CPU for sequences of `capacity` tokens.

    Raises:
        CheckpointError: ONNX Runtime does not have the precision.
    """
    checkpoint = Checkpoint.of_shapes(config, adapter_rank)
    drawn = draw(checkpoint, target=ONNXRUNTIME, precision=precision, capacity=capacity, location="none")
    kv = 2 * config.num_layers * config.num_kv_heads * config.head_dim * 4 * capacity
    return CpuMemory(drawn.weights.total_bytes, kv)
