"""Rotary positions of the family: YaRN's frequencies, and the factor on queries far from the start.

Knows the `rope_parameters` of a config.json and positions. Knows nothing about a network; needs torch alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def inverse_frequencies(rope: Mapping[str, Any], size: int) -> Tensor:
    """Return the angles per position after the static YaRN blend (arXiv 2309.00071, section 3.2), (size / 2,) float32.

    Raises:
        ValueError: `rope` is not YaRN, or its mscale is not mscale_all_dim, which would scale the attention.
    """
    if rope["rope_type"] != "yarn" or rope["mscale"] != rope["mscale_all_dim"]:
        raise ValueError(f"rope_parameters must be YaRN with mscale equal to mscale_all_dim, got {dict(rope)}")
    half, theta = size // 2, rope["rope_theta"]
    base = theta ** (-torch.arange(half, dtype=torch.float64) * 2 / size)

    def correction(beta: float) -> float:
        turns = rope["original_max_position_embeddings"] / (2 * math.pi * beta)
        return float(size * math.log(turns) / (2 * math.log(theta)))

    low = max(0, math.floor(correction(rope["beta_fast"])))
    high = min(size - 1, math.ceil(correction(rope["beta_slow"])))
    ramp = ((torch.arange(half, dtype=torch.float64) - low) / max(high - low, 1e-3)).clamp(0, 1)
    blended: Tensor = base * (1 - ramp) + base / rope["factor"] * ramp
    return blended.float()


def query_scale(positions: Tensor, original: int, beta: float) -> Tensor:
    """Return the family's factor on queries, by position; exactly 1 inside the `original` context."""
    return 1 + beta * torch.log1p(torch.floor(positions / original))


def tables(positions: Tensor, rope: Mapping[str, Any], size: int, attention_scale: float = 1.0) -> Tensor:
    """Return cos and sin for keys, then the same for queries times their factors, (4, *positions.shape, size) float32.

    `attention_scale` is a further factor on queries.
    """
    positions = positions.float()[..., None]
    angle = positions * inverse_frequencies(rope, size)
    angle = torch.cat([angle, angle], dim=-1)
    scale = query_scale(positions, rope["original_max_position_embeddings"], rope["llama_4_scaling_beta"])
    scale = scale * attention_scale
    return torch.stack([angle.cos(), angle.sin(), angle.cos() * scale, angle.sin() * scale])


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate halves: x (batch, heads, length, head_dim), cos and sin (batch, 1, length, head_dim)."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin
