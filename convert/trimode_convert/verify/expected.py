"""The rows that a bundle expects of its engine: the sampled passes, answered by the plain numpy model in float32.

Where the checkpoint reads pictures, some of noise too, encoded by the plain numpy tower. Knows which numbers are kept.
Does not know how they are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from trimode.bundle.expected_rows import ExpectedPass, ExpectedPicture, ExpectedRows, noise
from trimode.bundle.manifest import Manifest

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.tensor_file import FloatArray
from .numpy_model import forward
from .numpy_tower import encode
from .passes import Pass
from .verify import INT8_RMS, RMS, sample_passes
from .vision import SAMPLES

FLOAT32_RMS = 1e-3  # a GPU's float32 sums in another order; TF32, which compiler.py switches off, would give this much
ROWS = 3  # tokens of a pass whose logits are kept, the first and the last among them
TOP, SPREAD = 8, 56  # logits of a row that are kept: the largest, and others spread over the vocabulary
DIGITS = 6  # significant ones of a logit, in a file for people too


def expected_rows(checkpoint: Checkpoint, capacity: int, precision: str) -> ExpectedRows:
    """Return the rows that a bundle of the checkpoint expects in a precision; all weights are read once."""
    passes = sample_passes(checkpoint.config, capacity, adapter=checkpoint.adapter is not None)
    pairs = zip(passes, forward(checkpoint, passes), strict=True)
    tolerance = FLOAT32_RMS if precision == "float32" else RMS.get(precision, INT8_RMS)
    rows = tuple(_expected(step, logits) for step, logits in pairs)
    if checkpoint.config.vision is None:
        return ExpectedRows(tolerance, rows)
    seen = tuple(_seen(checkpoint, across, down, seed) for seed, (across, down) in enumerate(SAMPLES, start=1))
    return ExpectedRows(tolerance, rows, seen)


def expected_json(checkpoint: Checkpoint, manifest: Manifest) -> bytes:
    """Return the file of the rows that the bundle of a manifest expects."""
    return expected_rows(checkpoint, manifest.capacity, manifest.precision).to_json()


def _expected(step: Pass, logits: FloatArray) -> ExpectedPass:
    want = np.unique(np.linspace(0, len(step.tokens) - 1, ROWS).astype(int))
    ids = [_kept(logits[row]) for row in want]
    return ExpectedPass(
        name=step.name,
        tokens=tuple(step.tokens.tolist()),
        start=step.start,
        causal=step.causal,
        keep=step.keep,
        adapter=step.adapter,
        want=tuple(want.tolist()),
        ids=tuple(tuple(row.tolist()) for row in ids),
        logits=tuple(
            tuple(_written(value) for value in logits[row, kept]) for row, kept in zip(want, ids, strict=True)
        ),
    )


def _seen(checkpoint: Checkpoint, across: int, down: int, seed: int) -> ExpectedPicture:
    assert checkpoint.config.vision is not None
    cell = checkpoint.config.vision.patch * checkpoint.config.vision.merge
    shape = (3, down * cell, across * cell)
    rows = encode(checkpoint, np.array(noise(seed, int(np.prod(shape))), dtype=np.float32).reshape(shape))
    cells, channels = (
        np.unique(np.linspace(0, size - 1, most).astype(int))
        for size, most in zip(rows.shape, (ROWS, TOP + SPREAD), strict=True)
    )
    return ExpectedPicture(
        across,
        down,
        seed,
        tuple(cells.tolist()),
        tuple(channels.tolist()),
        tuple(tuple(_written(value) for value in row[channels]) for row in rows[cells]),
    )


def _written(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _kept(logits: FloatArray) -> NDArray[np.int64]:
    """Return the ids of a row whose logits are kept, the largest first  # (K,)."""
    count = len(logits)
    best = np.argsort(-logits, kind="stable")[: min(TOP, count)]
    spread = np.linspace(0, count - 1, min(TOP + SPREAD, count)).astype(np.int64)
    others = np.setdiff1d(spread, best)  # of which at least as many are left as are kept, so that all rows are as long
    return np.concatenate([best, others[:SPREAD]])
