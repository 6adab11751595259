"""Rotary position tables: plain and YaRN frequencies, and the Llama-4 query scale, as functions of position.

Computed in float64 and rounded once to float32. Frequencies are static: YaRN acts at short lengths too.
Knows nothing about graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.config import Rope
from ..checkpoint.tensor_file import FloatArray

Angles = NDArray[np.float64]


def inverse_frequencies(rope: Rope, head_dim: int) -> NDArray[np.float64]:
    """Return the angle per position of each pair of channels  # (head_dim / 2,)."""
    pairs = np.arange(head_dim // 2, dtype=np.float64)
    plain = rope.theta ** (-2.0 * pairs / head_dim)
    if rope.kind == "default":
        return plain / np.array(rope.divisors) if rope.divisors else plain
    low, high = (_turning_pair(rope, head_dim, beta) for beta in (rope.beta_fast, rope.beta_slow))
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = high - low if high != low else 0.001  # as in transformers, to avoid a division by zero
    ramp = np.clip((pairs - low) / width, 0.0, 1.0)  # 0: keep the frequency, 1: interpolate it
    mixed: NDArray[np.float64] = plain * (1.0 - ramp) + plain / rope.factor * ramp
    return mixed


def attention_factor(rope: Rope) -> float:
    """Return the factor of cos and sin; exactly 1.0 if mscale equals mscale_all_dim."""
    if rope.kind == "default":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return _mscale(rope.factor, rope.mscale) / _mscale(rope.factor, rope.mscale_all_dim)
    return _mscale(rope.factor, 1.0)


def cosines(rope: Rope, head_dim: int, length: int) -> FloatArray:
    """Return the cosines of positions 0 … length-1; halves are duplicated (NeoX)  # (length, head_dim)."""
    return _table(rope, head_dim, length, lambda angles: np.tile(np.cos(angles), 2))


def sines(rope: Rope, head_dim: int, length: int) -> FloatArray:
    """Return the sines of positions 0 … length-1  # (length, head_dim).

    The first half is negated, so that a rotation is x * cosines + swap_halves(x) * sines.
    """

    def signed(angles: Angles) -> Angles:
        sin = np.sin(angles)
        return np.concatenate([-sin, sin], axis=1)

    return _table(rope, head_dim, length, signed)


def _table(rope: Rope, head_dim: int, length: int, function: Callable[[Angles], Angles]) -> FloatArray:
    """Return `function` of the angles of positions 0 … length-1, times attention's factor  # (length, head_dim)."""
    frequencies, factor = inverse_frequencies(rope, head_dim), attention_factor(rope)
    table = np.empty((length, head_dim), np.float32)
    step = 8192  # positions at a time, so that the float64 angles of 262,144 positions are never in memory together
    for start in range(0, length, step):
        positions = np.arange(start, min(start + step, length), dtype=np.float64)
        table[start : start + step] = function(positions[:, None] * frequencies) * factor
    return table


def query_scale(rope: Rope, length: int) -> FloatArray | None:
    """Return 1 + beta * ln(1 + floor(position / original_length)) # (length,), or None if it is 1 everywhere."""
    if not rope.query_scale_beta or length <= rope.original_length:
        return None
    steps = np.arange(length, dtype=np.int64) // rope.original_length
    return (1.0 + rope.query_scale_beta * np.log1p(steps.astype(np.float64))).astype(np.float32)


def _turning_pair(rope: Rope, head_dim: int, turns: float) -> float:
    """Return the (fractional) pair of channels that makes `turns` full turns over the original length."""
    return head_dim * math.log(rope.original_length / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def _mscale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1.0 else 0.1 * mscale * math.log(factor) + 1.0
