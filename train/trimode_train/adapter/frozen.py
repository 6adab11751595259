"""A frozen model of the Llama family as train's network, and what its drafts are made of and judged by.

Every layout that can be served can be trained. Knows no optimiser.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..model.base import load_base
from ..model.model import Model, bias_from, fused_attention
from .clean_texts import CleanTexts, padded
from .draft_batches import DraftBatch


def load_frozen(path: Path) -> Model:
    """Load a checkpoint folder or GGUF file as a model in float32 that is not trained. Raises as load_base does."""
    return load_base(path).eval().requires_grad_(False)


def student_of(model: Model, dtype: torch.dtype) -> Model:
    """Return the model that drafts are trained with: `model` itself in float32, else a copy with weights in `dtype`.

    A copy's adapter is the model's own, in float32; it runs under autocast.
    """
    if dtype is torch.float32:
        return model
    student = copy.deepcopy(model)
    student.encoder.mask_row = model.encoder.mask_row
    for layer, own in zip(student.encoder.layers, model.encoder.layers, strict=True):
        layer.to(dtype)
        layer.self_attn.draft_branch = own.self_attn.draft_branch
    return student


@dataclass(frozen=True)
class Hidden:
    """Final hidden states of a batch's drafts: (n, hidden), in the order of the real places."""

    student: Tensor
    teacher: Tensor
    likely: Tensor  # (n, LIKELY), what the teacher finds likely there


def hidden_of(student: Model, texts: CleanTexts, batch: DraftBatch, dtype: torch.dtype = torch.float32) -> Hidden:
    """Run a batch's noisy blocks in `dtype`, with gradients and the adapter, behind what is known of its clean texts.

    Clean keys and values depend on nothing that is trained, so only noisy tokens cost a pass.
    """
    found = [texts.of(ids[:length]) for ids, length in zip(batch.clean, batch.lengths, strict=True)]
    room = batch.clean.shape[1]
    bias = bias_from(batch.sees[:, None], dtype)
    on = torch.ones(*batch.noisy.shape, 1)
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        attend = fused_attention(bias)
        noisy, _ = student.encoder(batch.noisy, batch.positions, attend, padded(found, room), on)
    teacher = batch.teacher[batch.real]
    row, place = (teacher // room).tolist(), (teacher % room).tolist()
    return Hidden(
        noisy.flatten(0, 1)[batch.drafted[batch.real]].float(),
        torch.stack([found[r].hidden[p] for r, p in zip(row, place, strict=True)]),
        torch.stack([found[r].likely[p] for r, p in zip(row, place, strict=True)]),
    )


def shortlist(likely: Tensor, most: int) -> Tensor | None:
    """Return the tokens that a batch's distributions are compared on: those of `likely` (n, tokens) of any place.

    At most `most` of them beside each place's first, those that are likely most often; None if `most` is 0: all tokens.
    The union of likely tokens is the released recipe's too (top 200 of each place; here the other places' tokens stand
    for the rest).
    """
    if not most:
        return None
    tokens, counts = likely.unique(return_counts=True)
    return torch.cat([likely[:, 0].unique(), tokens[counts.argsort(descending=True)[:most]]]).unique()


def head_on(model: Model, tokens: Tensor | None) -> nn.Module:
    """Return the head of some tokens, or of all."""
    if tokens is None:
        return model.diffusion_head
    head = nn.Linear(model.config.hidden_size, len(tokens), bias=False)
    head.weight = nn.Parameter(model.diffusion_head.weight[tokens], requires_grad=False)
    return head
