"""How much memory a torch engine needs beside its weights. Knows the sizes of cache and logits; allocates nothing."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from ...bundle.kv_memory import kv_bytes
from ...bundle.manifest import Manifest
from ...bundle.tensor_index import TensorIndex
from ..options import MaxSlots
from ..slot_memory import GB, HOST_RESERVE, Memory, slots_of, slots_on_host
from .windows import LONGEST, MARGIN, rounded

RESERVE = 2 * GB
"""Bytes for activations, CUDA's own libraries and its graphs: an allowance, not measured."""


def entries_of(manifest: Manifest) -> int:
    """Return the entries of a lane."""
    return manifest.capacity + MARGIN


def need(manifest: Manifest, index: TensorIndex, dtype: torch.dtype) -> tuple[int, int]:
    """Return the bytes of one slot with a block's logits, in the model's type and in float32, and those needed once.

    Those are the logits of the longest pass, and the weights of a tower, which is opened after the engine.
    """
    tower = sum(math.prod(one.shape) for name, one in index.tensors.items() if name.startswith("vision."))
    logits = rounded(manifest.block_size) * manifest.vocab_size * (dtype.itemsize + 4)
    slot = kv_bytes(manifest, entries_of(manifest), dtype.itemsize) + logits
    return slot, LONGEST * manifest.vocab_size * 4 + tower * dtype.itemsize


def slots(
    bundle: Path,
    manifest: Manifest,
    asked: MaxSlots,
    need: tuple[int, int],
    gpu: tuple[int, int] | None,
) -> int:
    """Return how many slots the engine has that has loaded its weights.

    Args:
        need: as the function of that name says.
        gpu: the GPU's free bytes, and all its bytes; None on the processor.

    Raises:
        BundleError: they do not fit.
    """
    each, once = need
    if gpu is None:
        return slots_on_host(bundle, manifest, asked, (each, once + HOST_RESERVE))
    return slots_of(bundle, manifest, asked, (each, once + RESERVE), Memory(*gpu))
