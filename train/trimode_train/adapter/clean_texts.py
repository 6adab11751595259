"""What a frozen model gives of clean texts, each computed once: its cache, its final states, its likely tokens.

Nothing here depends on what is trained, so a text that batches meet again costs nothing. Knows no drafts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.model import Model, Past, causal_bias, fused_attention

LIKELY = 16
"""Likely tokens that are kept of each place: what a batch's distributions are compared on is drawn from these."""


@dataclass(frozen=True)
class CleanText:
    """A text's causal pass. `past` is per layer (keys, values), each (1, kv_heads, length, head_dim)."""

    past: Past
    hidden: Tensor  # (length, hidden), final states in float32
    likely: Tensor  # (length, LIKELY), the likeliest next token first


class CleanTexts:
    """The texts that a run has met. All of them stay in memory: 23 kB a token of SmolLM2-135M in bfloat16."""

    def __init__(self, model: Model, dtype: torch.dtype = torch.float32) -> None:
        """Remember what `model` gives, keys and values in `dtype`, the type that drafts are computed in."""
        self._model, self._dtype = model, dtype
        self._found: dict[tuple[int, ...], CleanText] = {}

    def of(self, ids: Tensor) -> CleanText:
        """Return what the model gives of ids (length,)."""
        key = tuple(ids.tolist())
        if key not in self._found:
            self._found[key] = self._run(ids[None])
        return self._found[key]

    @torch.no_grad()
    def _run(self, ids: Tensor) -> CleanText:
        length = ids.shape[1]
        attend = fused_attention(causal_bias(length, length))
        hidden, past = self._model.encoder(ids, torch.arange(length)[None], attend)
        logits = self._model.diffusion_head(hidden[0])
        likely = logits.topk(min(LIKELY, logits.shape[1]), dim=-1).indices
        return CleanText([(k.to(self._dtype), v.to(self._dtype)) for k, v in past], hidden[0], likely)


def padded(texts: list[CleanText], room: int) -> Past:
    """Return the texts' caches side by side, each filled with zeros up to `room` tokens."""
    past: Past = []
    for layer in range(len(texts[0].past)):
        sides = []
        for side in (0, 1):
            first = texts[0].past[layer][side]  # (1, kv_heads, length, head_dim)
            whole = first.new_zeros(len(texts), first.shape[1], room, first.shape[3])
            for row, text in enumerate(texts):
                own = text.past[layer][side]
                whole[row, :, : own.shape[2]] = own[0]
            sides.append(whole)
        past.append((sides[0], sides[1]))
    return past
