"""The vision tower and the projector in plain torch, with the official tensor names of the family's vision model.

Numerics as in transformers' PixtralVisionModel and Mistral3MultiModalProjector. Several pictures stand in one row, and
a patch sees its own picture alone. Patches come in the order of cells, which changes no number: places say where they
lie.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import VisionConfig
from .layers import RMSNorm
from .rope import rotate

EPS = 1e-5
"""Of every norm in the tower, whatever config.json says of the text model's."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of red, green and blue, as shares of full brightness: the constants of CLIP, which the family's processor takes."""
HIDDEN = -1e9  # of a score that is not seen; finite, so that filling, which sees itself alone, gives no NaN


def normalise(patches: Tensor) -> Tensor:
    """Patches (…, 588) of 0 to 255 -> float32 as the tower takes them."""
    mean, std = (torch.tensor(values, device=patches.device).repeat_interleave(196) for values in (MEAN, STD))
    return (patches.float() / 255 - mean) / std


def rotary(places: Tensor, config: VisionConfig) -> tuple[Tensor, Tensor]:
    """Rows and columns (rows, length, 2) -> cos and sin (rows, 1, length, head_dim) float32.

    Of the pairs (i, i + head_dim / 2) the first half turns by the row with every other frequency, from the first; the
    second half by the column with those between.
    """
    size = config.head_dim
    exponents = torch.arange(0, size, 2, dtype=torch.float32, device=places.device) / size
    frequencies = config.rope_theta**-exponents  # (head_dim / 2,)
    turned = torch.cat([places[..., :1] * frequencies[::2], places[..., 1:] * frequencies[1::2]], dim=-1)
    angle = torch.cat([turned, turned], dim=-1)[:, None]
    return angle.cos(), angle.sin()


class TowerAttention(nn.Module):
    """Full attention of the patches that see each other."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size, bias=False))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        """(rows, length, hidden) -> the same; the bias is (rows, 1, length, length)."""
        rows, length, _ = x.shape
        q, k, v = (
            proj(x).view(rows, length, -1, self.head_dim).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = (q @ k.transpose(-1, -2)) * self.head_dim**-0.5 + bias
        weights = torch.softmax(scores.float(), dim=-1).to(v.dtype)
        return self.o_proj((weights @ v).transpose(1, 2).reshape(rows, length, -1))


class TowerMLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, length, hidden) -> the same."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TowerLayer(nn.Module):
    """Pre-norm attention, then pre-norm MLP."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, EPS)
        self.attention = TowerAttention(config)
        self.ffn_norm = RMSNorm(config.hidden_size, EPS)
        self.feed_forward = TowerMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor) -> Tensor:
        """(rows, length, hidden) -> the same."""
        x = x + self.attention(self.attention_norm(x), cos, sin, bias)
        return x + self.feed_forward(self.ffn_norm(x))


class Layers(nn.Module):
    """The tower's layers, which have a module of their own in the official names."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TowerLayer(config) for _ in range(config.num_hidden_layers))


class Tower(nn.Module):
    """Patches to hidden states; there is no norm at the end."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_conv = nn.Conv2d(3, config.hidden_size, 14, stride=14, bias=False)
        self.ln_pre = RMSNorm(config.hidden_size, EPS)
        self.transformer = Layers(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                std = parameter[0].numel() ** -0.5  # of its inputs, so that sums keep their variance
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std /= math.sqrt(2 * config.num_hidden_layers)
                nn.init.normal_(parameter, std=std)

    def forward(self, patches: Tensor, places: Tensor, picture: Tensor) -> Tensor:
        """Patches (rows, length, 588), uint8 or normalised, their places and pictures -> (rows, length, hidden)."""
        x = normalise(patches) if patches.dtype == torch.uint8 else patches
        x = F.linear(x, self.patch_conv.weight.flatten(1))  # the convolution, as a product over flattened patches
        x = self.ln_pre(x)
        same = picture[:, None, :, None] == picture[:, None, None, :]  # filling, -1, sees filling
        bias = torch.zeros_like(same, dtype=x.dtype).masked_fill_(~same, HIDDEN)
        cos, sin = (table.to(x.dtype) for table in rotary(places, self.config))
        for layer in self.transformer.layers:
            x = layer(x, cos, sin, bias)
        return x


class Merger(nn.Module):
    """The four patches of a cell become one vector."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.merging_layer = nn.Linear(4 * size, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(patches, size) in the order of cells -> (cells, size); the values of a cell are laid out by channels."""
        cells = x.view(-1, 4, x.shape[-1]).transpose(1, 2)  # (cells, size, 4)
        return self.merging_layer(cells.flatten(1))


class Projector(nn.Module):
    """Norm, merge 2 x 2 patches, two linear layers with an exact GELU between them."""

    def __init__(self, inputs: int, outputs: int, eps: float) -> None:
        super().__init__()
        self.norm = RMSNorm(inputs, eps)
        self.patch_merger = Merger(inputs)
        self.linear_1 = nn.Linear(inputs, outputs, bias=False)
        self.linear_2 = nn.Linear(outputs, outputs, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        nn.init.normal_(self.linear_2.weight, std=0.02 * outputs**-0.5)  # features begin as small as embeddings

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states of the tower (patches, inputs) in the order of cells -> features (cells, outputs)."""
        return self.linear_2(F.gelu(self.linear_1(self.patch_merger(self.norm(x)))))
