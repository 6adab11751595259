"""A bundle before it is written, for an engine that runs a graph or for one that reads the checkpoint's own files.

Knows which engines take which; the rest is in onnx_bundle.py and in torch_bundle.py.
"""

from __future__ import annotations

from pathlib import Path

from ..checkpoint.checkpoint import Checkpoint
from ..graph.precisions import TORCH
from . import onnx_bundle, torch_bundle
from .onnx_bundle import Advance, BundleDraft, BundleOptions
from .torch_bundle import TorchDraft

Draft = BundleDraft | TorchDraft


def outline(checkpoint: Checkpoint, asked: BundleOptions) -> Draft:
    """Return the draft of a checkpoint's bundle, without the checkpoint's hash.

    Raises:
        CheckpointError: what is asked cannot be built of the checkpoint; the text names field, limit and value.
    """
    if asked.target is not TORCH:
        return onnx_bundle.outline(checkpoint, asked)
    precision = asked.precision or TORCH.default
    TORCH.precision(precision)
    return torch_bundle.outline(checkpoint, precision, capacity=asked.capacity, name=asked.name)


def is_up_to_date(draft: Draft, out: Path) -> bool:
    """Tell whether the bundle at `out` is what the draft would become."""
    return draft.is_up_to_date(out) if isinstance(draft, TorchDraft) else onnx_bundle.is_up_to_date(draft, out)


def weight_bytes(draft: Draft) -> int:
    """Return the bytes of weights that writing the draft converts."""
    return 0 if isinstance(draft, TorchDraft) else draft.weight_bytes


def write(draft: Draft, out: Path, advance: Advance) -> str:
    """Write the bundle; return what was done.

    Args:
        advance: called with the number of weight bytes written since the last call.

    Raises:
        BundleError: no room, no permission, or something other than a bundle at `out`.
        CheckpointError: a tensor's bytes are not what its header says.
    """
    if isinstance(draft, TorchDraft):
        draft.write(out)
        return "linked to the checkpoint's files, which must stay where they are"
    onnx_bundle.write_bundle(draft, out, advance)
    return "built"
