"""How much memory the engine on the CPU needs beside its weights, as docs/operations.md lists it. Allocates nothing."""

from __future__ import annotations

from ...bundle.kv_memory import kv_bytes
from ...bundle.manifest import TOWER_WEIGHTS, Manifest
from ..slot_memory import HOST_RESERVE

VALUE_BYTES = 4
"""Of a number of the cache or of logits: float32."""
CALL_ROWS = 512
"""Tokens of one call, whose logits are asked for and whose keys and values are new (scheduling/batching.py)."""


def slot_bytes(manifest: Manifest) -> int:
    """Return the most bytes of a slot's keys and values: there is an array for each bucket that was used."""
    return kv_bytes(manifest, sum(manifest.buckets), VALUE_BYTES)


def copy_bytes(manifest: Manifest) -> int:
    """Return the bytes of a slot's copy for a call whose slots do not lie side by side."""
    return kv_bytes(manifest, manifest.capacity, VALUE_BYTES)


def result_bytes(manifest: Manifest, rows: int = CALL_ROWS) -> int:
    """Return the most bytes of the results of a call with `rows` tokens; buffers double when they grow."""
    return 2 * rows * (manifest.vocab_size * VALUE_BYTES + kv_bytes(manifest, 1, VALUE_BYTES))


def need(manifest: Manifest) -> tuple[int, int]:
    """Return the bytes of one slot, and those that are needed once: a tower is opened after the engine."""
    tower = manifest.files.get(TOWER_WEIGHTS, 0)
    return slot_bytes(manifest) + copy_bytes(manifest), result_bytes(manifest) + tower + HOST_RESERVE
