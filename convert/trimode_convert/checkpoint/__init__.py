"""A checkpoint in the layouts that people have: official, Llama family, GGUF. Knows nothing about graphs."""

from .checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    GGUF,
    HASH_CHUNK,
    HEAD,
    Checkpoint,
    expected_shapes,
    is_checkpoint,
    layer_shapes,
)
from .shards import INDEX, SINGLE

__all__ = [
    "EMBEDDING",
    "FINAL_NORM",
    "GGUF",
    "HASH_CHUNK",
    "HEAD",
    "INDEX",
    "SINGLE",
    "Checkpoint",
    "expected_shapes",
    "is_checkpoint",
    "layer_shapes",
]
