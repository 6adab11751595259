"""Checks a bundle: compares its logits with those of a plain numpy model or of the official model."""

from .verify import (
    AGREEMENT,
    BLOCKS,
    CHUNK,
    FLOAT32_TOLERANCE,
    INT8_AGREEMENT,
    INT8_RMS,
    RMS,
    Outcome,
    against_kit,
    against_reference,
    compare,
    sample_passes,
)

__all__ = [
    "AGREEMENT",
    "BLOCKS",
    "CHUNK",
    "FLOAT32_TOLERANCE",
    "INT8_AGREEMENT",
    "INT8_RMS",
    "RMS",
    "Outcome",
    "against_kit",
    "against_reference",
    "compare",
    "sample_passes",
]
