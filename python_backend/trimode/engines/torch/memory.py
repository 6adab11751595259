"""How much GPU memory a torch engine needs beside its weights, and the refusal where there is less.

Knows the sizes of cache and logits. Allocates nothing.
"""

from __future__ import annotations

from pathlib import Path

from ...bundle.manifest import Manifest
from ...errors import BundleError
from ..slot_memory import GB, advice, gb

RESERVE = 2 * GB
"""Bytes for activations, CUDA's own libraries and its graphs: an allowance, not measured."""


def slot_bytes(manifest: Manifest, entries: int, value_bytes: int) -> int:
    """Return the bytes of one slot's keys and values for `entries` tokens."""
    return 2 * manifest.num_layers * manifest.num_kv_heads * manifest.head_dim * entries * value_bytes


def check_slots(bundle: Path, manifest: Manifest, slots: int, need: tuple[int, int], memory: tuple[int, int]) -> None:
    """Refuse more slots than fit after the weights are loaded.

    Args:
        need: bytes of one slot with its rows of logits, and bytes that are needed once.
        memory: the GPU's free bytes, and all its bytes.

    Raises:
        BundleError: names what was asked, what is free and how many slots would fit.
    """
    (each, once), (free, total) = need, memory
    if (todo := advice(slots, each, once + RESERVE, free)) is None:
        return
    raise BundleError(
        f"{bundle}: GPU memory: max_slots {slots} needs {gb(slots * each)} for keys, values and logits "
        f"({gb(each)} each, capacity {manifest.capacity}) and {gb(once + RESERVE)} for the rest; with the weights "
        f"loaded, {gb(free)} of {gb(total)} are free. {todo}, or build with a smaller capacity"
    )
