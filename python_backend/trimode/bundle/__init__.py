"""The engine bundle on disk: its files, its manifest, and what a compiled plan was made for."""

from .manifest import (
    CHAT_TEMPLATE,
    EFFORT,
    EXPECTED,
    FORMAT_VERSION,
    GENERATION_CONFIG,
    GRAPH,
    MANIFEST,
    PLAN,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TOWER_GRAPH,
    TOWER_PLAN,
    TOWER_WEIGHTS,
    WEIGHTS,
    Manifest,
    rebuild_hint,
)

__all__ = [
    "CHAT_TEMPLATE",
    "EFFORT",
    "EXPECTED",
    "FORMAT_VERSION",
    "GENERATION_CONFIG",
    "GRAPH",
    "MANIFEST",
    "PLAN",
    "TOKENIZER",
    "TOKENIZER_CONFIG",
    "TOWER_GRAPH",
    "TOWER_PLAN",
    "TOWER_WEIGHTS",
    "WEIGHTS",
    "Manifest",
    "rebuild_hint",
]
