"""The choices of a device that computes nothing: drafts are right as often as the released model's.

Knows no engine. What inventing them takes is counted, so that it can be subtracted from what a host takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from trimode.bundle.compilation import Compilation
from trimode.bundle.manifest import Manifest
from trimode_convert.tensorrt.profiles import Shapes

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

RIGHT = 0.855
"""How often a draft's token is right: 6.8 tokens a cycle with drafts of 32, as published (arXiv 2607.05722)."""
SURE = 0.35
"""The power of a uniform number that is a probability: a quarter is above 0.9, for some 2.6 tokens a denoising pass."""
MASK, END, FIRST_TOKEN, LAST_TOKEN = 100, 11, 1000, 100_000


class NullChoices:
    """Invents ids and probabilities.

    Attributes:
        seconds: processor time of what stands in for a device, of the thread that waits for it.
        launches: passes that were launched as CUDA graphs.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.launches = 0
        self._draw = np.random.default_rng(0)
        self._inside = False

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count what runs inside in `seconds`, once however deep it is called."""
        if self._inside:
            yield
            return
        self._inside, began = True, time.thread_time()
        try:
            yield
        finally:
            self._inside = False
            self.seconds += time.thread_time() - began

    def write(self, ids: Ints, rows: Ints, top_id: Ints, top_prob: Floats) -> None:
        """Write the choices of a pass: of each token the one that follows it, as often as RIGHT.

        Args:
            ids: (B, S) the tokens. rows: (B, R) those whose choices are asked for. top_id, top_prob: (B, R), written.
        """
        last = ids.shape[1] - 1
        following = np.take_along_axis(ids, np.minimum(rows + 1, last), axis=1)
        right = (self._draw.random(rows.shape) < RIGHT) & (following != MASK) & (rows < last)
        top_id[:] = np.where(right, following, self._draw.integers(FIRST_TOKEN, LAST_TOKEN, rows.shape))
        top_prob[:] = self._draw.random(rows.shape, dtype=np.float32) ** SURE


def manifest_of(runtime: str, shapes: Shapes, layers: int, vocab_size: int) -> Manifest:
    """Return what a bundle of 8B's would say."""
    buckets = tuple(size for size in (64 << at for at in range(20)) if size < shapes.capacity)
    compiled = Compilation("tensorrt", "none", ("9.0",), shapes.profiles()) if runtime == "tensorrt" else None
    return Manifest(
        model="8b", runtime=runtime, runtime_version="none", kv_form="scatter", precision="bfloat16",
        capacity=shapes.capacity, buckets=(*buckets, shapes.capacity), num_layers=layers, num_kv_heads=8, head_dim=128,
        hidden_size=4096, vocab_size=vocab_size, block_size=shapes.block, mask_token_id=MASK, eos_token_id=END,
        bos_token_id=None, adapter=True, checkpoint_hash="", files={}, compiled=compiled,
    )  # fmt: skip
