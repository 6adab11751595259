"""The checkpoint in torch eager, float32 on a CPU, under the reference's loops: what eager code in its manner costs.

The network is written out over plain tensors: train's, of nn.Modules, takes 1.20 times as long for a pass of one token
on nano, 1.10 times for 32 (medians of 300 alternated passes, one thread, the same attention and bits), and a slower
peer would flatter the runtime. Positions, files and loops are train's. Knows nothing of processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from trimode_train.evaluation import decode
from trimode_train.model import shards
from trimode_train.model.rope import rotate, tables

from .peer import Answer, Peer

Cache = list[tuple[Tensor, Tensor]]
"""Per layer the rotated keys and the values so far, each (batch, kv_heads, cached, head_dim)."""


@dataclass(frozen=True)
class Layer:
    """One layer's weights; `adapter` is the draft adapter's A (r, q width) and B (hidden, r)."""

    norm: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    mlp_norm: Tensor
    gate_proj: Tensor
    up_proj: Tensor
    down_proj: Tensor
    adapter: tuple[Tensor, Tensor] | None


class Pass(NamedTuple):
    """What decides a pass's products of weights: tokens, rows of logits, whether the draft adapter is on."""

    length: int
    rows: int
    draft: bool


class TorchModel:
    """A checkpoint's weights in float32, and the forward over them; `passes` are those run so far."""

    def __init__(self, checkpoint: Path, *, adapter: bool = True) -> None:
        """Read `checkpoint`, without its draft adapter where `adapter` is False."""
        self.config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        weights = {name: tensor.float() for name, tensor in shards.load(checkpoint).items()}
        self._embedding, self._norm = weights["encoder.embed_tokens.weight"], weights["encoder.norm.weight"]
        self._head = weights["diffusion_head.weight"]
        lora, self._adapter_scale = read_adapter(checkpoint / "linear_spec_lora") if adapter else ({}, 0.0)
        self._layers = [_layer(weights, lora, i) for i in range(self.config["num_hidden_layers"])]
        self._eps: float = self.config["rms_norm_eps"]
        self.passes: list[Pass] = []

    def session(self, room: int) -> Session:
        """Return an empty session for up to `room` tokens."""
        return Session(self, room)

    def angles(self, positions: Tensor) -> Tensor:
        """Return cos and sin for keys, and for queries: (batch, length) -> (4, batch, 1, length, head_dim)."""
        return tables(positions[:, None], self.config["rope_parameters"], self.config["head_dim"])

    def forward(
        self, ids: Tensor, angles: Tensor, cache: Cache, *, causal: bool, draft: bool = False, last: bool = False
    ) -> tuple[Tensor, Cache]:
        """Run a chunk of `ids` (batch, length) behind `cache`, at positions of these `angles`.

        `causal`: each token sees itself and what is before, otherwise all see all; `draft`: the draft adapter is on;
        `last`: only the last token's logits are wanted. Returns logits (batch, length or 1, vocab) and the new cache.
        """
        (batch, length), size = ids.shape, self.config["head_dim"]
        self.passes.append(Pass(length, 1 if last else length, draft))
        cached = cache[0][0].shape[2] if cache else 0
        mask = None
        if causal and cached and length > 1:
            mask = torch.ones(length, cached + length, dtype=torch.bool).tril(cached)
        x = F.embedding(ids, self._embedding)  # (batch, length, hidden)
        new: Cache = []
        for i, layer in enumerate(self._layers):
            y = F.rms_norm(x, x.shape[-1:], layer.norm, self._eps)
            heads = (F.linear(y, weight).view(batch, length, -1, size) for weight in (layer.q, layer.k, layer.v))
            q, k, v = (each.transpose(1, 2) for each in heads)  # (batch, heads, length, head_dim)
            q, k = rotate(q, angles[2], angles[3]), rotate(k, angles[0], angles[1])
            if cache:
                k, v = torch.cat([cache[i][0], k], dim=2), torch.cat([cache[i][1], v], dim=2)
            new.append((k, v))
            mixed = self.attend(q, k, v, mask, causal and not cached)
            mixed = mixed.transpose(1, 2).reshape(batch, length, -1)  # (batch, length, heads * head_dim)
            x = x + F.linear(mixed, layer.o)
            if draft and layer.adapter is not None:
                down, up = layer.adapter
                x = x + self._adapter_scale * F.linear(F.linear(mixed, down), up)
            y = F.rms_norm(x, x.shape[-1:], layer.mlp_norm, self._eps)
            x = x + F.linear(F.silu(F.linear(y, layer.gate_proj)) * F.linear(y, layer.up_proj), layer.down_proj)
        x = F.rms_norm(x[:, -1:] if last else x, x.shape[-1:], self._norm, self._eps)
        return F.linear(x, self._head), new

    def products(self, passes: Sequence[Pass]) -> None:
        """Do the products of weights of `passes` and nothing else, on zeros: only shapes decide the time."""
        wide = torch.zeros(max(each.length for each in passes), self._layers[0].down_proj.shape[1])
        for length, rows, draft in passes:
            for layer in self._layers:
                weights = (layer.q, layer.k, layer.v, layer.o, layer.gate_proj, layer.up_proj, layer.down_proj)
                for weight in (*weights, *(layer.adapter or ())) if draft else weights:
                    F.linear(wide[:length, : weight.shape[1]], weight)
            F.linear(wide[:rows, : self._head.shape[1]], self._head)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Attention of grouped query heads; `mask` is True where visible, `causal` stands for the plain triangle."""
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=True)


class Session:
    """The keys and values of the text so far; only causal chunks are kept."""

    def __init__(self, model: TorchModel, room: int) -> None:
        self._model, self._angles = model, model.angles(torch.arange(room)[None])
        self._cache: Cache = []
        self.length = 0

    def causal(self, ids: Tensor, *, last: bool = False) -> Tensor:
        """Append a chunk; row i of the logits predicts the token after it  # (length or 1, vocab)."""
        logits, self._cache = self._model.forward(ids[None], self._at(ids), self._cache, causal=True, last=last)
        self.length += len(ids)
        return logits[0]

    def block(self, ids: Tensor, *, draft: bool = False) -> Tensor:
        """See a block in both directions without keeping it; row i predicts token i  # (length, vocab)."""
        return self._model.forward(ids[None], self._at(ids), self._cache, causal=False, draft=draft)[0][0]

    def crop(self, length: int) -> None:
        """Forget what lies beyond `length` tokens."""
        self._cache = [(k[:, :, :length], v[:, :, :length]) for k, v in self._cache]
        self.length = length

    def _at(self, ids: Tensor) -> Tensor:
        return self._angles[..., self.length : self.length + len(ids), :]


def _layer(weights: dict[str, Tensor], adapter: dict[str, Tensor], number: int) -> Layer:
    at = f"encoder.layers.{number}"
    lora = f"base_model.model.{at}.self_attn.o_proj.lora"
    names = {"norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
    names |= {name: f"self_attn.{name}_proj" for name in "qkvo"}
    names |= {name: f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")}
    return Layer(
        **{field: weights[f"{at}.{name}.weight"] for field, name in names.items()},
        adapter=(adapter[f"{lora}_A.weight"], adapter[f"{lora}_B.weight"]) if adapter else None,
    )


def read_adapter(folder: Path) -> tuple[dict[str, Tensor], float]:
    """Return the draft adapter's matrices and scale; none and 0 where the checkpoint has no adapter."""
    if not folder.is_dir():
        return {}, 0.0
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return shards.read(folder / "adapter_model.safetensors"), config["lora_alpha"] / config["r"]


def load(checkpoint: Path, threads: int) -> Peer:
    """Load the checkpoint in float32."""
    torch.set_num_threads(threads)
    model = TorchModel(checkpoint)
    length = model.config["block_size"]
    blocks = {
        "diffusion": partial(decode.diffusion, length=length, mask=model.config["mask_token_id"]),
        "self_speculation": partial(decode.self_speculation, length=length, mask=model.config["mask_token_id"]),
    }
    loops: dict[str, Callable[..., decode.Decoded]] = {"autoregressive": decode.autoregressive, **blocks}
    modes = {mode: partial(_answer, model, loop) for mode, loop in loops.items()}
    return Peer(f"torch {torch.__version__}, eager, the reference's loops", modes)


def _answer(
    model: TorchModel, loop: Callable[..., decode.Decoded], prompt: list[int], max_tokens: int, eos: int
) -> Answer:
    """Return a loop's answer, cut at `max_tokens`, and how to do its products again."""
    model.passes.clear()
    decoded = loop(model, prompt, max_tokens, eos=eos)
    products = torch.inference_mode()(partial(model.products, list(model.passes)))
    return Answer(decoded.ids[:max_tokens], decoded.forwards, products)
