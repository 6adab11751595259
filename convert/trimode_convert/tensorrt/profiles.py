"""The shapes a TensorRT plan is compiled for: one profile for steps, one for blocks, one for chunks of a prompt.

All share one copy of the weights. Pure arithmetic; knows nothing about TensorRT's API.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimode.bundle.compilation import Profile, Range
from trimode.errors import CheckpointError

from ..checkpoint.config import ModelConfig

DEFAULT_BATCH = 4  # rows of a call; the workspace grows with them
DEFAULT_CHUNK = 512  # tokens of a prompt's pass; the workspace grows with them
TUNED_LENGTH = 1024  # tokens in the cache for which TensorRT chooses its kernels
VARIED = 2
"""Rows: every profile allows at least so many. If a profile allows only one number of rows, TensorRT-RTX keeps a second
arrangement of most weights for it: 1.5 times the plan in bfloat16 and float16, measured with 1.7 for 3B."""


@dataclass(frozen=True)
class Shapes:
    """Upper limits: rows of a call, tokens of a block, tokens of a prompt's chunk, tokens of a sequence."""

    batch: int
    block: int
    chunk: int
    capacity: int

    @classmethod
    def of(cls, config: ModelConfig, capacity: int, batch: int | None = None, chunk: int | None = None) -> Shapes:
        """Return checked shapes; None means the default.

        Raises:
            CheckpointError: a size below 1, or a block or chunk beyond the capacity.
        """
        shapes = cls(
            batch=DEFAULT_BATCH if batch is None else batch,
            block=min(config.block_size, capacity),
            chunk=min(DEFAULT_CHUNK, capacity) if chunk is None else chunk,
            capacity=capacity,
        )
        if shapes.batch < 1:
            raise CheckpointError(f"batch: expected at least 1, found {shapes.batch}")
        if not shapes.block <= shapes.chunk <= capacity:
            raise CheckpointError(
                f"chunk: expected {shapes.block} (block) to {capacity} (capacity), found {shapes.chunk}"
            )
        return shapes

    def profiles(self) -> tuple[Profile, ...]:
        """Return the profiles in the order in which they are compiled.

        A pass that only stores keys and values asks for no rows of logits. A block may be shorter than the checkpoint's
        own. A chunk may have any length up to its limit, so that the last one of a prompt fits too. Chunks run one row
        per call and are tuned for that.
        """
        batch = (1, max(1, self.batch // 2), max(VARIED, self.batch))
        length: Range = (1, min(TUNED_LENGTH, self.capacity), self.capacity)
        return (
            Profile("step", batch, (1, 1, 1), (0, 1, 1), length),
            Profile("block", batch, (1, self.block, self.block), (0, self.block, self.block), length),
            Profile("prefill", (1, 1, VARIED), (1, self.chunk, self.chunk), (0, 1, self.block), length),
        )


def input_ranges(profile: Profile, config: ModelConfig, capacity: int, *, adapter: bool) -> dict[str, list[list[int]]]:
    """Return each graph input's smallest, tuned and largest shape in a profile."""
    found: dict[str, list[list[int]]] = {}
    for b, s, r, length in zip(profile.batch, profile.seq, profile.rows, profile.length, strict=True):
        shapes = {
            "input_ids": [b, s],
            "position_ids": [b, s],
            "logit_rows": [b, r],
            "write_indices": [b],
            "attn_mask": [b, 1, s, length],
        }
        if adapter:
            shapes["lora_scale"] = [b, s]
        for layer in range(config.num_layers):
            for kind in ("key", "value"):
                shapes[f"past_{kind}.{layer}"] = [b, config.num_kv_heads, capacity, config.head_dim]
        for name, shape in shapes.items():
            found.setdefault(name, []).append(shape)
    return found
