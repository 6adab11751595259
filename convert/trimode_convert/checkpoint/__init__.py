"""A checkpoint in the layout of Hugging Face: config.json, tensor files, draft adapter. Knows nothing about graphs."""

from .checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    HASH_CHUNK,
    HEAD,
    INDEX,
    SINGLE,
    Checkpoint,
    expected_shapes,
    layer_shapes,
)

__all__ = [
    "EMBEDDING",
    "FINAL_NORM",
    "HASH_CHUNK",
    "HEAD",
    "INDEX",
    "SINGLE",
    "Checkpoint",
    "expected_shapes",
    "layer_shapes",
]
