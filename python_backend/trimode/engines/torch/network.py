"""The text model in torch: one pass over a batch of lanes, whose keys and values are written where the cache has them.

Which token sees which, where it stands, which have the draft adapter: all of it is data in `Inputs`, so that a step, a
denoising pass and a verification are one function. The arithmetic is the graph's (docs/internals/graph.md): RMSNorm,
rotation and query scale in float32, rounded once. Knows nothing of slots or rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...bundle.manifest import Manifest
from ...bundle.tensor_index import Positions, TensorIndex
from ..base import Floats
from .products import product
from .weights import Layer, Weights

STEP = 8192
"""Positions whose float64 angles are in memory at once."""


@dataclass(frozen=True)
class Inputs:
    """A call's inputs on the device.

    Attributes:
        ids, positions: (B, S) int64.
        adapter: (B, S) float32, 1 where the draft adapter is on.
        rows: (B, R) int64, the tokens whose logits are asked for.
        start: (B,) int64, how many entries of its lane each token of a line sees.
        write: (B,) int64, the entry of its lane from which a line's keys and values are written.
        own: (B, S, S) bool, query by key, which of the new tokens each new token sees; each sees itself.
    """

    ids: Tensor
    positions: Tensor
    adapter: Tensor
    rows: Tensor
    start: Tensor
    write: Tensor
    own: Tensor


class Shown(NamedTuple):
    """What tokens of pictures read in place of their embeddings: the i-th row is token `places[i]` of `lines[i]`.

    Attributes:
        lines, places: (N,) int64. rows: (N, hidden) float32.
    """

    lines: Tensor
    places: Tensor
    rows: Tensor


class Choices(NamedTuple):
    """What a pass says of N rows of logits, which stay on the device.

    Attributes:
        top_id: (N,) int64, the likeliest token, the mask id left out; of equal logits the first wins.
        top_prob: (N,) float32, its probability under the whole softmax; NaN where any logit is NaN or +inf.
        log_norm: (N,) float32, the logarithm of the sum of exponentials of all logits.
    """

    top_id: Tensor
    top_prob: Tensor
    log_norm: Tensor


class Network:
    """Weights, tables of positions, and the pass."""

    def __init__(self, weights: Weights, manifest: Manifest, index: TensorIndex, length: int) -> None:
        """Take the weights; prepare for positions below `length`."""
        self._weights, self._size, self._mask_id = weights, manifest.head_dim, manifest.mask_token_id
        self._heads, self._kv_heads = index.num_heads, manifest.num_kv_heads
        self._epsilon, self._adapter_scale = index.norm_epsilon, index.adapter_scale
        self.device, self.dtype = weights.embedding.device, weights.embedding.dtype
        self._cos, self._sin, self._scale = (
            torch.from_numpy(table).to(self.device) for table in tables(index.positions, self._size, length)
        )

    def forward(self, given: Inputs, cache: Tensor, length: int, logits: Tensor, shown: Shown | None = None) -> None:
        """Run one pass.

        Args:
            cache: (2 layers, B, kv_heads, entries, head_dim), the lanes of the batch; the new keys and values are
                written into it.
            length: how many entries of a lane attention reads; no line writes beyond.
            logits: (B, R, V) in the model's type, written.
            shown: what tokens of pictures read.
        """
        batch, seq = given.ids.shape
        lines = torch.arange(batch, device=self.device)[:, None]  # (B, 1)
        places = given.write[:, None] + torch.arange(seq, device=self.device)  # (B, S)
        turns = self._cos[given.positions][:, :, None], self._sin[given.positions][:, :, None]  # (B, S, 1, D) each
        scale = self._scale[given.positions][:, :, None, None]  # (B, S, 1, 1)
        bias = self._bias(given, length)
        draft = (given.adapter[..., None] * self._adapter_scale).to(self.dtype)  # (B, S, 1)
        x = F.embedding(given.ids, self._weights.embedding)  # (B, S, hidden)
        if self._weights.mask is not None:
            drafted = (given.ids == self._mask_id) & (given.adapter > 0)  # (B, S)
            x = torch.where(drafted[..., None], self._weights.mask, x)
        if shown is not None:
            x[shown.lines, shown.places] = shown.rows.to(self.dtype)
        for number, layer in enumerate(self._weights.layers):
            query, key, value = self._split(product(self._norm(x, layer.norm), layer.qkv), turns, scale)
            keys, values = cache[2 * number], cache[2 * number + 1]  # (B, kv_heads, entries, D)
            keys[lines, :, places] = key
            values[lines, :, places] = value
            mixed = self._attend(query, keys[:, :, :length], values[:, :, :length], bias)  # (B, S, query width)
            if number == len(self._weights.layers) - 1:  # after the last keys only the rows asked for matter
                x, mixed, draft = x[lines, given.rows], mixed[lines, given.rows], draft[lines, given.rows]
            x = x + self._output(mixed, layer, draft)
            gate, up = product(self._norm(x, layer.mlp_norm), layer.gate_up).chunk(2, dim=-1)
            x = x + product(F.silu(gate) * up, layer.down)
        last = self._norm(x, self._weights.final_norm).flatten(0, 1)  # (B * R, hidden)
        torch.mm(last, self._weights.head.T, out=logits.view(len(last), -1))

    def choose(self, logits: Tensor, choices: Choices) -> None:
        """Write the choices of a pass's `logits`  # (N, V)."""
        choose(logits, self._mask_id, choices)

    def _bias(self, given: Inputs, length: int) -> Tensor:
        """Return 0 where a token sees an entry and -inf elsewhere  # (B, 1, G * S, length)."""
        batch, seq = given.ids.shape
        entries = torch.arange(length, device=self.device)
        behind = entries - given.write[:, None]  # (B, length), which of the new tokens an entry is
        new = (behind >= 0) & (behind < seq)
        among = behind.clamp(0, seq - 1)[:, None].expand(batch, seq, length)
        sees_new = given.own.gather(2, among) & new[:, None]  # (B, S, length)
        seen = sees_new | (entries < given.start[:, None])[:, None]
        bias = torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen, -torch.inf)
        group = self._heads // self._kv_heads
        return bias[:, None].expand(batch, group, seq, length).reshape(batch, 1, group * seq, length)

    def _split(self, joined: Tensor, turns: tuple[Tensor, Tensor], scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split joint projections into rotated queries and keys, and values  # (B, S, heads, D) each."""
        batch, seq, _ = joined.shape
        heads = joined.view(batch, seq, -1, self._size)
        turning = heads[:, :, : self._heads + self._kv_heads].float()
        first, second = turning.chunk(2, dim=-1)
        turned = turning * turns[0] + torch.cat([second, first], dim=-1) * turns[1]  # the sign is in the table
        query = (turned[:, :, : self._heads] * scale).to(self.dtype)
        return query, turned[:, :, self._heads :].to(self.dtype), heads[:, :, self._heads + self._kv_heads :]

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Return the mix of values  # (B, S, heads, D) by (B, kv_heads, length, D) -> (B, S, heads * D).

        The query heads that share a key head stand below each other, so keys and values are read as the cache has them.
        """
        batch, seq, heads, size = query.shape
        group = heads // self._kv_heads
        folded = query.view(batch, seq, self._kv_heads, group, size).permute(0, 2, 3, 1, 4)
        folded = folded.reshape(batch, self._kv_heads, group * seq, size)
        mixed = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias, scale=1.0)
        mixed = mixed.view(batch, self._kv_heads, group, seq, size).permute(0, 3, 1, 2, 4)
        return mixed.reshape(batch, seq, heads * size)

    def _output(self, mixed: Tensor, layer: Layer, draft: Tensor) -> Tensor:
        """Return o_proj's product, with the draft adapter's branch for the tokens that have it on."""
        plain = product(mixed, layer.o)
        if layer.adapter is None:
            return plain
        down, up = layer.adapter
        return plain + draft * F.linear(F.linear(mixed, down), up)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return RMSNorm: in float32, rounded, then multiplied."""
        return F.rms_norm(x, x.shape[-1:], None, self._epsilon) * weight


def choose(logits: Tensor, mask_token_id: int, choices: Choices) -> None:
    """Write the choices of `logits` (N, V), whose column of the mask is written and put back."""
    of_all = torch.logsumexp(logits.float(), dim=-1)  # (N,)
    of_mask = logits[:, mask_token_id].clone()
    logits[:, mask_token_id] = -torch.inf
    best = logits.argmax(dim=-1)
    top = logits.gather(1, best[:, None])[:, 0].float()
    logits[:, mask_token_id] = of_mask
    choices.top_id.copy_(best)
    choices.log_norm.copy_(of_all)
    probs = (top - of_all).exp()
    choices.top_prob.copy_(probs.masked_fill(~of_all.isfinite(), torch.nan))  # of the mask alone, +inf would give 0


def tables(positions: Positions, size: int, length: int) -> tuple[Floats, Floats, Floats]:
    """Return cosine and sine, and the factor of queries, as float32  # (length, size) twice, (length,).

    Halves are duplicated and the first half of the sine is negated, so that a rotation is x * cos + swapped(x) * sin.
    The factor contains attention's 1 / sqrt(size). Computed in float64 and rounded once, as in the graph.
    """
    frequencies = np.array(positions.frequencies, dtype=np.float64)
    cos, sin = np.empty((length, size), np.float32), np.empty((length, size), np.float32)
    for first in range(0, length, STEP):
        angles = np.arange(first, min(first + STEP, length), dtype=np.float64)[:, None] * frequencies
        cos[first : first + STEP] = np.tile(np.cos(angles) * positions.factor, 2)
        sin[first : first + STEP] = np.concatenate([-np.sin(angles), np.sin(angles)], axis=1) * positions.factor
    scale = np.full(length, size**-0.5, dtype=np.float64)
    if positions.query_scale_beta:
        steps = np.arange(length, dtype=np.int64) // positions.original_length
        scale *= 1.0 + positions.query_scale_beta * np.log1p(steps.astype(np.float64))
    return cos, sin, scale.astype(np.float32)
