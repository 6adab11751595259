"""A copy of a bundle in which one token's embedding is NaN, as of a file that was damaged after it was written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from trimode.bundle import digests
from trimode.bundle.manifest import WEIGHTS, Manifest
from trimode_convert.checkpoint.checkpoint import EMBEDDING, Checkpoint
from trimode_convert.weights.row_blocks import EIGHT_BITS, round_row_blocks


def spoil(bundle: Path, checkpoint: Path, out: Path, token: int, kind: np.dtype[Any] | None = None) -> Path:
    """Write the copy to `out` and return it. A prompt with `token` then gives NaN from that token on.

    Args:
        kind: the type in which the bundle stores the embedding; float32 by default, or the scales of its 8-bit blocks.
    """
    shutil.copytree(bundle, out)
    with Checkpoint.open(checkpoint) as opened:
        row = opened.tensors[EMBEDDING].rows(token, token + 1).astype(kind or np.float32)
    weights = bytearray((out / WEIGHTS).read_bytes())
    if Manifest.load(out).precision == "int4" and kind is None:
        row = round_row_blocks(row, EIGHT_BITS).scales
    assert weights.count(row.tobytes()) == 1, "the embedding is stored as it is"
    at = weights.find(row.tobytes())
    weights[at : at + row.nbytes] = np.full_like(row, np.nan).tobytes()
    (out / WEIGHTS).write_bytes(weights)
    digests.write(out)  # as of weights that were damaged before the bundle was made
    return out
