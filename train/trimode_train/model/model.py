"""The text model in plain torch: pre-norm Llama layers, YaRN rotary positions, one head for both objectives.

Module names give the official tensor names (`encoder.*`, `diffusion_head.weight`) without renaming.
The caller's mask decides which token sees which; this file knows nothing about noise, blocks or losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ModelConfig
from .layers import RMSNorm
from .rope import inverse_frequencies, query_scale, rotate
from .vision import Projector, Tower

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v), each (batch, heads, length, head_dim) with k and v on the KV heads -> (batch, heads, length, head_dim)."""

Past = list[tuple[Tensor, Tensor]]
"""Per layer the cached keys (after rotation) and values, each (batch, kv_heads, cached, head_dim)."""


SEEING = ("encoder.vision_tower.", "encoder.multi_modal_projector.")
"""How the names of the weights begin that a model without pictures lacks."""


EMBEDDING, HEAD = "encoder.embed_tokens.weight", "diffusion_head.weight"


class DraftBranch(nn.Module):
    """The low-rank branch that a draft adapter adds to one projection: `scale * B(A x)`; B starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float) -> None:
        super().__init__()
        self.lora_A = nn.Linear(inputs, rank, bias=False)
        self.lora_B = nn.Linear(rank, outputs, bias=False)
        self.scale = scale
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) -> (…, outputs)."""
        return self.scale * self.lora_B(self.lora_A(x))


class Attention(nn.Module):
    """Grouped-query attention; `attend` decides what is visible. `draft_branch` is None without a draft adapter."""

    draft_branch: DraftBranch | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * config.head_dim, config.hidden_size, bias=False)
        self.draft_branch = None

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        scale: Tensor,
        attend: Attend,
        past: tuple[Tensor, Tensor] | None,
        draft: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(batch, length, hidden) -> the same, and this chunk's rotated keys and values.

        `draft` (batch, length, 1) is 1 for the tokens that the draft adapter acts on and 0 for the others.
        """
        batch, length, _ = x.shape
        q, k, v = (
            proj(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (batch, heads, length, head_dim)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin) * scale, rotate(k, cos, sin)
        new = (k, v)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        out = attend(q, k, v).transpose(1, 2).reshape(batch, length, -1)  # (batch, length, heads * head_dim)
        y = self.o_proj(out)
        if draft is not None and self.draft_branch is not None:
            y = y + draft * self.draft_branch(out)
        return y, new


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, hidden) -> the same."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Pre-norm attention, then pre-norm MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        scale: Tensor,
        attend: Attend,
        past: tuple[Tensor, Tensor] | None,
        draft: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(batch, length, hidden) -> the same, and this chunk's keys and values."""
        y, new = self.self_attn(self.input_layernorm(x), cos, sin, scale, attend, past, draft)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), new


class Encoder(nn.Module):
    """Embedding, layers and final norm. `mask_row` (hidden,), where there is one, is the mask's embedding in drafts."""

    inv_freq: Tensor
    mask_row: nn.Parameter | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        frequencies = inverse_frequencies(config.to_official()["rope_parameters"], config.head_dim)
        self.mask_row = None
        self.register_buffer("inv_freq", frequencies, persistent=False)
        if config.vision:
            self.vision_tower = Tower(config.vision)
            self.multi_modal_projector = Projector(config.vision.hidden_size, config.hidden_size, config.rms_norm_eps)

    def features(self, patches: Tensor, places: Tensor, picture: Tensor) -> Tensor:
        """Rows of patches in the order of cells, as `data.patches.PictureRows` -> features (cells, hidden)."""
        return self.multi_modal_projector(self.vision_tower(patches, places, picture).flatten(0, 1))

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attend,
        past: Past | None = None,
        draft: Tensor | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Past]:
        """Ids and positions (batch, length) -> hidden (batch, length, hidden) after the final norm, and new K/V.

        `draft` (batch, length, 1), 0 or 1, marks the tokens that see the draft adapter; without it none does.
        `seen` is features (cells, hidden) and which of them a token takes in place of its embedding (batch, length),
        -1 where none.
        """
        x = self.embed_tokens(ids)  # (batch, length, hidden)
        if draft is not None and self.mask_row is not None:
            x = torch.where((ids == self.config.mask_id)[..., None], self.mask_row, x)
        if seen is not None:
            features, cell = seen
            x = torch.where(cell[..., None] >= 0, features.to(x.dtype)[cell.clamp(min=0)], x)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        angle = positions.float()[:, None, :, None] * self.inv_freq.float()  # (batch, 1, length, head_dim / 2)
        angle = torch.cat([angle, angle], dim=-1)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        scale = query_scale(positions, self.config.original_max_position_embeddings, self.config.llama_4_scaling_beta)
        scale = scale.to(x.dtype)[:, None, :, None]
        draft = draft if draft is None else draft.to(x.dtype)
        new: Past = []
        for i, layer in enumerate(self.layers):
            x, kv = layer(x, cos, sin, scale, attend, past[i] if past else None, draft)
            new.append(kv)
        return self.norm(x), new


class Model(nn.Module):
    """Encoder and head. Causal rows predict the next token, noisy (block) rows the token at their own position."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.diffusion_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and not name.startswith(SEEING):  # those begin as they are made
                std = config.initializer_range
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std /= math.sqrt(2 * config.num_hidden_layers)  # keep the residual stream's variance flat
                nn.init.normal_(parameter, std=std)
        if config.tied:
            self.diffusion_head.weight = self.encoder.embed_tokens.weight

    def stored(self) -> dict[str, Tensor]:
        """Return the weights that files hold: all, but for a head that is the embedding."""
        weights: dict[str, Tensor] = self.state_dict()
        return {name: one for name, one in weights.items() if not (self.config.tied and name == HEAD)}

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        return self.diffusion_head.weight.device

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attend,
        past: Past | None = None,
        draft: Tensor | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Past]:
        """Ids and positions (batch, length) -> logits (batch, length, vocab), new K/V; the rest as in Encoder."""
        hidden, new = self.encoder(ids, positions, attend, past, draft, seen)
        return self.diffusion_head(hidden), new


def grouped_attention(bias: Tensor | None) -> Attend:
    """Return softmax attention with an additive bias (batch, 1, queries, keys), 0 where visible; None: all visible.

    Written out, not fused: compiled on a CPU, it trains twice as fast as the flash kernel at a few hundred keys.
    """

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, heads, length, dim = q.shape
        kv_heads, keys = k.shape[1], k.shape[2]
        grouped = q.reshape(batch, kv_heads, -1, dim)  # query heads of one KV head side by side
        scores = (grouped @ k.transpose(-1, -2)).view(batch, kv_heads, -1, length, keys) * dim**-0.5
        if bias is not None:
            scores = scores + bias[:, :, None]
        weights = torch.softmax(scores.float(), dim=-1).to(v.dtype)
        return (weights.view(batch, kv_heads, -1, keys) @ v).view(batch, heads, length, dim)

    return attend


def fused_attention(bias: Tensor) -> Attend:
    """Return the same with torch's fused kernel, which is faster where nothing is compiled."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=True)

    return attend


HIDDEN = -1e9  # finite, so that a row that sees nothing gives no NaN


def bias_from(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a boolean mask, True where visible, into an additive bias of the same shape."""
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, HIDDEN)


def causal_bias(queries: int, keys: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the bias (1, 1, queries, keys) of the last `queries` of `keys` tokens; each sees all up to itself."""
    visible = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return bias_from(visible[None, None], torch.float32)
