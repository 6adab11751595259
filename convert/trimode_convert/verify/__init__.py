"""Is a bundle right? Compares its logits with a plain numpy model's or the official model's."""

from .verify import (
    AGREEMENT,
    BLOCK,
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
    "BLOCK",
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
