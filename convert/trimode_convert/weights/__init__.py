"""Weights as an engine stores them: rounded to a storage type, packed, laid out in one file. Knows no graph."""

from .weight_file import ALIGNMENT, TILE, Blob, Blocks, Fill, Part, Quantized, Sink, WeightLayout, round_rows

WeightPlan = WeightLayout  # its earlier name, kept for one release

__all__ = [
    "ALIGNMENT",
    "TILE",
    "Blob",
    "Blocks",
    "Fill",
    "Part",
    "Quantized",
    "Sink",
    "WeightLayout",
    "WeightPlan",
    "round_rows",
]
