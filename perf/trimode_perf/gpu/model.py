"""The text model in torch as a serving engine runs it: static buffers, keys and values written in place, CUDA graphs.

One graph per shape of call (rows, tokens, context); what is causal, what is a draft and where a row stands are data,
as in the scatter form of the exported graph: a row writes its keys and values at its start, and a draft's are
overwritten by the causal pass that follows. Tensor names are the released checkpoints', rotary
positions train's; the layers are its own, as train's network appends to its cache, which no graph can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from trimode_train.model.rope import rotate, tables

from .device import captured

HIDDEN = -1e9  # finite: a row that sees nothing must not give NaN

Weights = Callable[[str], Tensor]
"""A checkpoint's tensor by its name, as stored, on the device and in the dtype it is used in."""


@dataclass(frozen=True)
class Layer:
    """One layer's weights; q, k and v in one product, so are gate and up."""

    norm: Tensor  # (hidden,)
    qkv: Tensor  # (queries + 2 keys, hidden)
    o: Tensor  # (hidden, queries)
    mlp_norm: Tensor  # (hidden,)
    gate_up: Tensor  # (2 inner, hidden)
    down: Tensor  # (hidden, inner)
    adapter: tuple[Tensor, Tensor] | None  # A (r, queries) and B (hidden, r) of the draft adapter


class StaticModel:
    """The weights, and the forward over static buffers."""

    def __init__(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        *,
        longest: int,
        adapter: tuple[Mapping[str, Tensor], float] = ({}, 0.0),
    ) -> None:
        """Take the weights; prepare for `longest` positions. `adapter` is its tensors by name, and its scale."""
        self.config = config
        lora, self._adapter_scale = adapter
        self._embedding, self._norm = weights("encoder.embed_tokens.weight"), weights("encoder.norm.weight")
        self._head = weights("diffusion_head.weight")
        self._layers = [_layer(weights, lora, index) for index in range(config["num_hidden_layers"])]
        self._kv_heads, self._size = config["num_key_value_heads"], config["head_dim"]
        self._groups = config["num_attention_heads"] // self._kv_heads
        angles = tables(torch.arange(longest), config["rope_parameters"], self._size, self._size**-0.5)
        self._tables = angles.to(self._embedding)  # (4, longest, head_dim)
        self.device, self.dtype = self._embedding.device, self._embedding.dtype

    def cache(self, rows: int, capacity: int) -> Tensor:
        """Return room for keys and values  # (2 layers, rows, kv_heads, capacity, head_dim)."""
        shape = (2 * len(self._layers), rows, self._kv_heads, capacity, self._size)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def forward(self, call: Call) -> None:
        """Run one pass over the call's buffers: its logits, and its keys and values in the cache."""
        rows, tokens = call.ids.shape
        steps = torch.arange(tokens, device=self.device)
        positions = call.start[:, None] + steps  # (rows, tokens)
        cos, sin, query_cos, query_sin = self._tables[:, positions][:, :, None]  # (rows, 1, tokens, head_dim) each
        last_seen = call.start[:, None] + torch.where(call.causal[:, None], steps, tokens - 1)
        seen = torch.arange(call.context, device=self.device) <= last_seen[..., None]  # (rows, tokens, context)
        bias = torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen, HIDDEN)
        bias = bias[:, None].repeat(1, self._groups, 1, 1)[:, None].flatten(2, 3)  # (rows, 1, groups * tokens, context)
        lanes = torch.arange(rows * self._kv_heads, device=self.device)[:, None]
        places = positions.repeat_interleave(self._kv_heads, dim=0)  # (rows * kv_heads, tokens)
        draft = self._adapter_scale * call.draft[:, None, None]
        x = F.embedding(call.ids, self._embedding)  # (rows, tokens, hidden)
        for index, layer in enumerate(self._layers):
            y = self._normed(x, layer.norm)
            heads = F.linear(y, layer.qkv).view(rows, tokens, -1, self._size).transpose(1, 2)
            q, k, v = torch.split(heads, [self._groups * self._kv_heads, self._kv_heads, self._kv_heads], dim=1)
            q, k = rotate(q, query_cos, query_sin), rotate(k, cos, sin)
            for new, kept in ((k, call.cache[2 * index]), (v, call.cache[2 * index + 1])):
                kept.flatten(0, 1).index_put_((lanes, places), new.reshape(len(lanes), tokens, self._size))
            q = q.reshape(rows, self._kv_heads, self._groups * tokens, self._size)
            mixed = ATTENTION[call.attention](
                q, call.cache[2 * index, :, :, : call.context], call.cache[2 * index + 1, :, :, : call.context], bias
            )
            mixed = mixed.reshape(rows, -1, tokens, self._size).transpose(1, 2).reshape(rows, tokens, -1)
            x = x + F.linear(mixed, layer.o)
            if layer.adapter is not None:
                down, up = layer.adapter
                x = x + draft * F.linear(F.linear(mixed, down), up)
            gate, up_ = F.linear(self._normed(x, layer.mlp_norm), layer.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up_, layer.down)
        torch.mm(self._normed(x, self._norm).flatten(0, 1), self._head.T, out=call.logits.flatten(0, 1))
        top, ids = call.logits.max(dim=-1)
        call.top_id.copy_(ids, non_blocking=True)
        call.top_prob.copy_((top.float() - call.logits.float().logsumexp(dim=-1)).exp(), non_blocking=True)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], weight, self.config["rms_norm_eps"])


class Call:
    """One shape of call: inputs to be written to, outputs to be read, and the graph between them.

    Attributes:
        ids: (rows, tokens) int64.
        start: (rows,) int64, the position of a row's first token.
        causal: (rows,) bool, each token sees itself and what is before; otherwise all see all of the row.
        draft: (rows,) 1 where the draft adapter is on, else 0.
        cache: keys and values, see `StaticModel.cache`; written in place.
        context: entries of the cache that attention reads; start + tokens must not be more.
        attention: a name of ATTENTION.
        logits: (rows, tokens, vocab) on the device.
        top_id, top_prob: (rows, tokens) in the host's memory, pinned where there is a GPU.
    """

    def __init__(
        self, model: StaticModel, cache: Tensor, tokens: int, context: int, *, attention: str = "products"
    ) -> None:
        rows, device = cache.shape[1], model.device
        self._model = model
        self._replay: Callable[[], object] | None = None
        self.cache, self.context, self.attention = cache, context, attention
        self.ids = torch.zeros(rows, tokens, dtype=torch.int64, device=device)
        self.start = torch.zeros(rows, dtype=torch.int64, device=device)
        self.causal = torch.ones(rows, dtype=torch.bool, device=device)
        self.draft = torch.zeros(rows, dtype=model.dtype, device=device)
        self.logits = torch.empty(rows, tokens, model.config["vocab_size"], dtype=model.dtype, device=device)
        pinned = model.device.type == "cuda"
        self.top_id = torch.empty(rows, tokens, dtype=torch.int64, pin_memory=pinned)
        self.top_prob = torch.empty(rows, tokens, dtype=torch.float32, pin_memory=pinned)

    def capture(self) -> None:
        """Record the pass as a CUDA graph; on a CPU nothing is recorded. What it warms up with is written to the cache
        at `start`."""
        if self._model.device.type != "cuda":
            return
        self._replay = captured(partial(self._model.forward, self))

    def run(self) -> None:
        """Run the pass, or queue it on a GPU."""
        if self._replay is not None:
            self._replay()
        else:
            self._model.forward(self)


def _products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention as two products around a float32 softmax: many thread blocks also where queries are few."""
    scores = q @ k.transpose(-1, -2)
    return (scores.float() + bias).softmax(dim=-1).to(q.dtype) @ v


def _fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention in whichever kernel torch takes; the scores are never in memory. q carries the scale already."""
    return F.scaled_dot_product_attention(q, k, v, bias, scale=1.0)


ATTENTION: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {"products": _products, "fused": _fused}
"""q (rows, kv_heads, groups * tokens, head_dim) by k, v (rows, kv_heads, context, head_dim) under an additive bias."""


def _layer(weights: Weights, lora: Mapping[str, Tensor], index: int) -> Layer:
    at = f"encoder.layers.{index}"
    adapter = f"base_model.model.{at}.self_attn.o_proj.lora"
    return Layer(
        norm=weights(f"{at}.input_layernorm.weight"),
        qkv=torch.cat([weights(f"{at}.self_attn.{name}_proj.weight") for name in "qkv"]),
        o=weights(f"{at}.self_attn.o_proj.weight"),
        mlp_norm=weights(f"{at}.post_attention_layernorm.weight"),
        gate_up=torch.cat([weights(f"{at}.mlp.{name}_proj.weight") for name in ("gate", "up")]),
        down=weights(f"{at}.mlp.down_proj.weight"),
        adapter=(lora[f"{adapter}_A.weight"], lora[f"{adapter}_B.weight"]) if lora else None,
    )
