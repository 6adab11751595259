"""The shapes a TensorRT plan is compiled for: profiles for steps, blocks, chunks of a prompt and quadratic passes.

All share one copy of the weights. The tower's plan has profiles of its own. Pure arithmetic; knows nothing about
TensorRT's API.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trimode.api.rows.images import MOST_IMAGE_SIZE
from trimode.bundle.compilation import QUADRATIC, Profile, Range
from trimode.errors import CheckpointError

from ..checkpoint.config import ModelConfig
from ..checkpoint.vision_config import VisionConfig

DEFAULT_BATCH = 16  # rows of a call: the default of max_slots, so that a step is one; the workspace grows with them
DEFAULT_CHUNK = 512  # tokens of a prompt's pass; the workspace grows with them
DEFAULT_QUADRATIC = 16  # tokens of the longest draft of quadratic speculation, as in the released loop
QUADRATIC_DRAFTS = (2, 32)  # tokens: the shortest draft that has one, and the longest that a request may ask for
TUNED_LENGTH = 1024  # tokens in the cache for which TensorRT chooses its kernels
VARIED = 2
"""Rows: every profile allows at least so many. If a profile allows only one number of rows, TensorRT-RTX keeps a second
arrangement of most weights for it: 1.5 times the plan in bfloat16 and float16, measured with 1.7 for 3B."""

SHARED_PATCHES = 4096  # of a pass over several pictures; the server puts no more into one (vision/encoder.py)
TUNED_PATCHES = 1024  # of such a pass, for which TensorRT chooses its kernels: a picture of 448 x 448 pixels


@dataclass(frozen=True)
class Shapes:
    """Upper limits: rows of a call, tokens of a block, of a prompt's chunk, of a sequence, of a quadratic draft.

    `quadratic` is 0 where no quadratic pass is compiled for.
    """

    batch: int
    block: int
    chunk: int
    capacity: int
    quadratic: int = 0

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        capacity: int,
        batch: int | None = None,
        chunk: int | None = None,
        quadratic: int | None = None,
    ) -> Shapes:
        """Return checked shapes; None means the default, for `quadratic` at most what the capacity holds.

        Raises:
            CheckpointError: a size below 1, or a block, chunk or quadratic pass beyond the capacity.
        """
        shapes = cls(
            batch=DEFAULT_BATCH if batch is None else batch,
            block=min(config.block_size, capacity),
            chunk=min(DEFAULT_CHUNK, capacity) if chunk is None else chunk,
            capacity=capacity,
            quadratic=_default_quadratic(capacity) if quadratic is None else quadratic,
        )
        if shapes.batch < 1:
            raise CheckpointError(f"batch: expected at least 1, found {shapes.batch}")
        if not shapes.block <= shapes.chunk <= capacity:
            raise CheckpointError(
                f"chunk: expected {shapes.block} (block) to {capacity} (capacity), found {shapes.chunk}"
            )
        least, most = QUADRATIC_DRAFTS
        if shapes.quadratic and not least <= shapes.quadratic <= most:
            raise CheckpointError(f"quadratic: expected 0 or {least} to {most}, found {shapes.quadratic}")
        if shapes.quadratic_tokens > capacity:
            raise CheckpointError(
                f"quadratic: a draft of {shapes.quadratic} needs a pass of {shapes.quadratic_tokens} tokens, the "
                f"capacity is {capacity}"
            )
        return shapes

    @property
    def quadratic_tokens(self) -> int:
        """Tokens of a quadratic pass: L of the draft, and L groups of L masks."""
        return self.quadratic * (self.quadratic + 1)

    def profiles(self) -> tuple[Profile, ...]:
        """Return the profiles in the order in which they are compiled.

        A pass that only stores keys and values asks for no rows of logits. A block may be shorter than the checkpoint's
        own. A chunk may have any length up to its limit, so that the last one of a prompt fits too. Chunks run one row
        per call and are tuned for that. Quadratic passes come last: what asks for fewer rows is of another profile.
        """
        batch = (1, max(1, self.batch // 2), max(VARIED, self.batch))
        length: Range = (1, min(TUNED_LENGTH, self.capacity), self.capacity)
        found = (
            Profile("step", batch, (1, 1, 1), (0, 1, 1), length),
            Profile("block", batch, (1, self.block, self.block), (0, self.block, self.block), length),
            Profile("prefill", (1, 1, VARIED), (1, self.chunk, self.chunk), (0, 1, self.block), length),
        )
        if not self.quadratic:
            return found
        size, rows = self.quadratic_tokens, self.quadratic**2
        return (*found, Profile(QUADRATIC, (1, 1, VARIED), (1, size, size), (0, rows, rows), length))


def _default_quadratic(capacity: int) -> int:
    """Return the longest draft up to the default whose pass the capacity holds, or 0."""
    fits = min(DEFAULT_QUADRATIC, (math.isqrt(4 * capacity + 1) - 1) // 2)
    return fits if fits >= QUADRATIC_DRAFTS[0] else 0


def tower_patches(config: VisionConfig) -> tuple[Range, ...]:
    """Return the patches of a pass for each profile of a tower's plan, as (least, tuned for, most).

    A picture cannot be cut, for its patches see each other: the most are those of the largest square that a request may
    ask for, or of what the tower has positions for. From there down any number of cells fits, so no picture is refused
    for its size. The second profile, where there is one, is for a picture that has a pass of its own. It is tuned for a
    photograph of 4 to 3, so that small ones run on kernels that were chosen for them.
    """
    side = min(config.side, MOST_IMAGE_SIZE // config.patch) // config.merge * config.merge
    cell, most = config.merge**2, side**2
    shared = min(SHARED_PATCHES // cell * cell, most)
    first: Range = (cell, min(TUNED_PATCHES // cell * cell, shared), shared)
    return (first,) if shared == most else (first, (cell, most * 3 // 4 // cell * cell, most))


def tower_ranges(patches: Range, config: VisionConfig) -> dict[str, list[list[int]]]:
    """Return each input's smallest, tuned and largest shape in a profile of a tower's plan."""
    whole = {"patches": [config.patch_width], "positions": [], "pictures": []}
    return {name: [[count, *others] for count in patches] for name, others in whole.items()}


def input_ranges(profile: Profile, config: ModelConfig, capacity: int, *, adapter: bool) -> dict[str, list[list[int]]]:
    """Return each graph input's smallest, tuned and largest shape in a profile."""
    found: dict[str, list[list[int]]] = {}
    sizes = zip(profile.batch, profile.seq, profile.rows, profile.length, profile.images, strict=True)
    for b, s, r, length, images in sizes:
        shapes = {
            "input_ids": [b, s],
            "position_ids": [b, s],
            "logit_rows": [b, r],
            "write_indices": [b],
            "attn_mask": [b, 1, s, length],
        }
        if adapter:
            shapes["lora_scale"] = [b, s]
        if config.vision is not None:
            shapes |= {"image_rows": [images, config.hidden_size], "image_index": [b, s]}
        for layer in range(config.num_layers):
            for kind in ("key", "value"):
                shapes[f"past_{kind}.{layer}"] = [b, config.num_kv_heads, capacity, config.head_dim]
        for name, shape in shapes.items():
            found.setdefault(name, []).append(shape)
    return found
