"""The model in plain numpy float32, written from the architecture's description and not from the graph.

Slow and obvious on purpose: the graph is checked against it, so it shares no code with it, not even rotary angles.
Streams the checkpoint one layer at a time, all passes together, so that each weight is read once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.checkpoint import EMBEDDING, FINAL_NORM, Checkpoint
from ..checkpoint.config import ModelConfig, Rope
from ..checkpoint.tensor_file import FloatArray, Tensor
from .passes import Pass


def forward(checkpoint: Checkpoint, passes: Sequence[Pass]) -> list[FloatArray]:
    """Return the logits of every token of every pass over one sequence, in order  # (S, vocab) each."""
    config = checkpoint.config
    hidden = [np.concatenate([_embedded(checkpoint, step, t) for t in step.tokens.tolist()]) for step in passes]
    for step, rows in zip(passes, hidden, strict=True):
        if step.pictures is not None:
            rows[step.pictures.places] = step.pictures.rows
    for layer in range(config.num_layers):
        weights = {
            name: checkpoint.layer(layer, name).read() for name in ("input_layernorm", "post_attention_layernorm")
        }
        attended = _attention(checkpoint, layer, passes, [_norm(h, weights["input_layernorm"], config) for h in hidden])
        hidden = [h + a for h, a in zip(hidden, attended, strict=True)]
        normed = [_norm(h, weights["post_attention_layernorm"], config) for h in hidden]
        gates = _linear(checkpoint.layer(layer, "mlp.gate_proj"), normed)
        ups = _linear(checkpoint.layer(layer, "mlp.up_proj"), normed)
        inner = [gate / (1.0 + np.exp(-gate)) * up for gate, up in zip(gates, ups, strict=True)]
        downs = _linear(checkpoint.layer(layer, "mlp.down_proj"), inner)
        hidden = [h + d for h, d in zip(hidden, downs, strict=True)]
    final = checkpoint.tensors[FINAL_NORM].read()
    return _linear(checkpoint.head, [_norm(h, final, config) for h in hidden])


def _embedded(checkpoint: Checkpoint, step: Pass, token: int) -> FloatArray:
    """Return a token's embedding; with the adapter, a mask may have one of its own  # (1, H)."""
    adapter = checkpoint.adapter
    if step.adapter and adapter is not None and adapter.mask is not None and token == checkpoint.config.mask_token_id:
        return adapter.mask.read()
    return checkpoint.tensors[EMBEDDING].rows(token, token + 1)


def _attention(checkpoint: Checkpoint, layer: int, passes: Sequence[Pass], x: list[FloatArray]) -> list[FloatArray]:
    """Attention of one layer for all passes; each pass sees what the kept passes before it left in the cache."""
    config = checkpoint.config
    size = config.head_dim
    queries, keys, values = (
        [y.reshape(len(y), -1, size) for y in _linear(checkpoint.layer(layer, f"self_attn.{kind}_proj"), x)]
        for kind in "qkv"
    )
    kept_keys = np.zeros((0, config.num_kv_heads, size), np.float32)
    kept_values = kept_keys
    mixed = []
    for step, query, key, value in zip(passes, queries, keys, values, strict=True):
        positions = np.arange(step.start, step.start + len(step.tokens))
        turned = turn(query, positions, config.rope) * _query_scale(positions, config.rope)[:, None, None]
        all_keys = np.concatenate([kept_keys[: step.start], turn(key, positions, config.rope)])
        all_values = np.concatenate([kept_values[: step.start], value])
        mixed.append(_mix(turned, all_keys, all_values, step, config))
        if step.keep:
            kept_keys, kept_values = all_keys, all_values
    outputs = _linear(checkpoint.layer(layer, "self_attn.o_proj"), mixed)
    adapter = checkpoint.adapter
    if adapter is None:
        return outputs
    branches = _linear(adapter.up(layer), _linear(adapter.down(layer), mixed))
    return [
        output + np.float32(adapter.scale) * branch if step.adapter else output
        for step, output, branch in zip(passes, outputs, branches, strict=True)
    ]


def _mix(query: FloatArray, key: FloatArray, value: FloatArray, step: Pass, config: ModelConfig) -> FloatArray:
    """Softmax attention head by head  # q [S, Hq, D], k and v [start + S, Hkv, D] -> [S, Hq * D]."""
    size = len(step.tokens)
    visible = np.concatenate([np.ones((size, step.start), dtype=bool), step.sees], axis=1)
    mixed = np.empty((size, config.num_heads, config.head_dim), np.float32)
    for head in range(config.num_heads):
        shared = head // config.group
        scores = query[:, head] @ key[:, shared].T / np.float32(math.sqrt(config.head_dim))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True)) * visible
        mixed[:, head] = weights / weights.sum(axis=1, keepdims=True) @ value[:, shared]
    return mixed.reshape(size, -1)


def turn(x: FloatArray, positions: NDArray[np.int64], rope: Rope) -> FloatArray:
    """Rotate pairs (j, j + D/2) by position * frequency as complex numbers  # x [S, H, D]."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * np.array([_frequency(rope, j, 2 * half) for j in range(half)])  # (S, D / 2)
    spin = np.exp(1j * angles)[:, None, :] * _magnitude(rope)
    turned = (x[..., :half] + 1j * x[..., half:]) * spin
    joined: FloatArray = np.concatenate([turned.real, turned.imag], axis=-1).astype(np.float32)
    return joined


def _frequency(rope: Rope, pair: int, head_dim: int) -> float:
    """Angle per position of one pair; YaRN (arXiv 2309.00071, section 3.2) blends by how often the pair turns."""
    plain = math.pow(rope.theta, -2 * pair / head_dim)
    if rope.kind == "default":
        return plain / rope.divisors[pair] if rope.divisors else plain

    def border(turns: float) -> float:
        """Return the pair whose wave makes so many turns over the original length."""
        return head_dim / 2 * math.log(rope.original_length / (2 * math.pi * turns), rope.theta)

    fast, slow = border(rope.beta_fast), border(rope.beta_slow)
    if rope.truncate:
        fast, slow = math.floor(fast), math.ceil(slow)
    fast, slow = max(0, fast), min(head_dim - 1, slow)
    if pair <= fast:
        return plain
    if pair >= slow:
        return plain / rope.factor
    share = (pair - fast) / (slow - fast)
    return (1 - share) * plain + share * plain / rope.factor


def _magnitude(rope: Rope) -> float:
    """The factor by which YaRN multiplies rotated queries and keys."""
    if rope.kind == "default" or rope.factor <= 1:
        return rope.attention_factor or 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    grow = 0.1 * math.log(rope.factor)
    if rope.mscale and rope.mscale_all_dim:
        return (grow * rope.mscale + 1) / (grow * rope.mscale_all_dim + 1)
    return grow + 1


def _query_scale(positions: NDArray[np.int64], rope: Rope) -> FloatArray:
    """The factor of Llama 4 on queries by their position  # (S,)."""
    if not rope.query_scale_beta:
        return np.ones(len(positions), np.float32)
    scales = [1 + rope.query_scale_beta * math.log(1 + p // rope.original_length) for p in positions.tolist()]
    return np.array(scales, np.float32)


def _norm(x: FloatArray, weight: FloatArray, config: ModelConfig) -> FloatArray:
    mean = (x * x).mean(axis=-1, keepdims=True)
    normed: FloatArray = x / np.sqrt(mean + np.float32(config.norm_epsilon)) * weight
    return normed


def _linear(weight: Tensor, inputs: list[FloatArray]) -> list[FloatArray]:
    """Return x @ weight.T for every x, reading the weight once, in slices."""
    joined = np.concatenate(inputs)
    product = np.empty((len(joined), weight.shape[0]), np.float32)
    for row, rows in weight.slices():
        product[:, row : row + len(rows)] = joined @ rows.T
    return np.split(product, np.cumsum([len(x) for x in inputs])[:-1])
