"""Attention of one layer after the projections: rotation, masks, scores over cache and new tokens, weighted sum.

`KV_FORMS` is the one switch for how the graph takes and returns keys and values; everything else is shared.
Knows nothing about projections, weights or precisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from ..checkpoint.config import ModelConfig
from .builder import Dim, GraphBuilder

HIDDEN_SCORE = np.float32(-1e9)  # finite, so that a row that may see nothing does not become NaN


@dataclass(frozen=True)
class Rotation:
    """cos and sin at each new token, and the factor of queries, if there is one  # [B, 1, S, D or 1], float32."""

    cos: str
    sin: str
    query_scale: str | None


class KvForm(Protocol):
    """One way to keep the cache. Made once per graph, it declares its inputs; `attend` is called once per layer.

    `folds_scale` says whether 1 / sqrt(head_dim) is folded into the query weights. If not, it comes with the rotation,
    in float32, where no rounding of weights can change it.
    """

    folds_scale: ClassVar[bool]

    def __init__(self, graph: GraphBuilder, config: ModelConfig, capacity: int) -> None: ...

    def attend(self, layer: int, query: str, key: str, value: str) -> str:
        """Return the mix of values  # q [B, Hq, S, D] (scaled), k, v [B, Hkv, S, D] -> [B, S, Hq * D]."""
        ...


class DeltaForm:
    """The cache is an input only; new keys and values are outputs, which the host keeps or drops.

    Scores are [q.Kpast | q.Knew]: the cache is never concatenated or copied. Query heads that share a key head are
    folded into rows, so that every product is an ordinary batched matrix product. The cache after `past_len` is ignored
    as long as it is finite and its scores stay below 1e9: the mask is added, which measured faster than choosing with
    Where.
    """

    folds_scale: ClassVar[bool] = True

    def __init__(self, graph: GraphBuilder, config: ModelConfig, capacity: int) -> None:
        self.graph = graph
        self.config = config
        past_len = graph.input("past_len", "int64", ["batch"])
        block_mask = graph.input("block_mask", "bool", ["batch", "seq", "seq"])
        shape: list[Dim] = ["batch", config.num_kv_heads, "capacity", config.head_dim]
        for layer in range(config.num_layers):
            graph.input(f"past_key.{layer}", "float32", shape)
            graph.input(f"past_value.{layer}", "float32", shape)
        length = graph.op("Shape", "past_key.0", start=2, end=3)
        seq = graph.op("Shape", block_mask, start=1, end=2)
        self.parts = graph.op("Concat", length, seq, axis=0)  # lengths of the cached and the new part
        self.bias = self._bias(past_len, block_mask, length, seq)

    def attend(self, layer: int, query: str, key: str, value: str) -> str:
        """Return the mix of values; declare the new keys and values as outputs."""
        graph, config = self.graph, self.config
        shape: list[Dim] = ["batch", config.num_kv_heads, "seq", config.head_dim]
        graph.output(f"new_key.{layer}", key, "float32", shape)
        graph.output(f"new_value.{layer}", value, "float32", shape)
        past_key, past_value = f"past_key.{layer}", f"past_value.{layer}"
        new_key, new_value = f"new_key.{layer}", f"new_value.{layer}"
        if config.group > 1:  # [B, Hkv, G * S, D]
            query = graph.op("Reshape", query, graph.ints(0, config.num_kv_heads, -1, config.head_dim))
        past_scores = graph.op("MatMul", query, graph.op("Transpose", past_key, perm=[0, 1, 3, 2]))
        new_scores = graph.op("MatMul", query, graph.op("Transpose", new_key, perm=[0, 1, 3, 2]))
        scores = graph.op("Concat", past_scores, new_scores, axis=-1)  # [B, Hkv, G * S, C + S]
        shares = graph.op("Softmax", graph.op("Add", scores, self.bias), axis=-1)
        past_shares, new_shares = graph.ops("Split", 2, shares, self.parts, axis=-1)
        mixed = graph.op("Add", graph.op("MatMul", past_shares, past_value), graph.op("MatMul", new_shares, new_value))
        if config.group > 1:  # [B, Hq, S, D]
            mixed = graph.op("Reshape", mixed, graph.ints(0, config.num_heads, -1, config.head_dim))
        return _joined_heads(graph, config, mixed)

    def _bias(self, past_len: str, block_mask: str, capacity: str, seq: str) -> str:
        """Return 0 where a query may see a key and -1e9 elsewhere  # [B, 1, G * S, C + S]."""
        graph, group = self.graph, self.config.group
        zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
        slots = graph.op("Range", zero, graph.op("Squeeze", capacity), one)  # (C,)
        filled = graph.op("Less", slots, graph.op("Unsqueeze", past_len, graph.ints(1, 2)))  # [B, 1, C]
        rows = graph.op("Concat", graph.ints(1), seq, graph.ints(1), axis=0)
        visible = graph.op("Concat", graph.op("Expand", filled, rows), block_mask, axis=-1)  # [B, S, C + S]
        if group > 1:
            visible = graph.op("Concat", *[visible] * group, axis=1)
        seen, hidden = graph.constant(np.float32(0.0)), graph.constant(HIDDEN_SCORE)
        bias = graph.op("Where", visible, seen, hidden)
        return graph.op("Unsqueeze", bias, graph.ints(1))


class ScatterForm:
    """The cache is written in place: a buffer of fixed capacity goes in as past_* and comes out as present_*.

    Both names must be bound to one address. New rows are always written at `write_indices`: a draft leaves rows that
    the next causal pass overwrites. Attention reads the first L rows, where L is the mask's length. Only the mask says
    what is seen: Attention's own is_causal counts from the wrong corner once there is a cache, and TensorRT silently
    drops its nonpad_kv_seqlen. A query always sees its own key, so that a padded row does not become NaN and stay in
    the cache.
    """

    folds_scale: ClassVar[bool] = False

    def __init__(self, graph: GraphBuilder, config: ModelConfig, capacity: int) -> None:
        self.graph = graph
        self.config = config
        self.shape: list[Dim] = ["batch", config.num_kv_heads, capacity, config.head_dim]
        self.write = graph.input("write_indices", "int64", ["batch"])
        mask = graph.input("attn_mask", "bool", ["batch", 1, "seq", "length"])
        for layer in range(config.num_layers):
            graph.input(f"past_key.{layer}", graph.dtype, self.shape)
            graph.input(f"past_value.{layer}", graph.dtype, self.shape)
        self.length = graph.op("Shape", mask, start=3, end=4)
        self.mask = graph.op("Or", mask, self._own(mask))

    def attend(self, layer: int, query: str, key: str, value: str) -> str:
        """Return the mix of values; declare the updated cache as outputs."""
        graph = self.graph
        cached = []
        for kind, rows in (("key", key), ("value", value)):
            present = graph.op("TensorScatter", f"past_{kind}.{layer}", rows, self.write, axis=2, mode="linear")
            graph.output(f"present_{kind}.{layer}", present, graph.dtype, self.shape)
            seen = graph.op("Slice", f"present_{kind}.{layer}", graph.ints(0), self.length, graph.ints(2))
            cached.append(seen)  # [B, Hkv, L, D]
        mixed = graph.op("Attention", query, *cached, self.mask, scale=1.0)  # [B, Hq, S, D]
        return _joined_heads(graph, self.config, mixed)

    def _own(self, mask: str) -> str:
        """Return where each new token's own key lies  # bool [B, 1, S, L]."""
        graph = self.graph
        zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
        seq = graph.op("Squeeze", graph.op("Shape", mask, start=2, end=3))
        slots = graph.op("Range", zero, graph.op("Squeeze", self.length), one)  # (L,)
        steps = graph.op("Unsqueeze", graph.op("Range", zero, seq, one), graph.ints(1))  # [S, 1]
        first = graph.op("Unsqueeze", self.write, graph.ints(1, 2, 3))  # [B, 1, 1, 1]
        return graph.op("Equal", graph.op("Add", first, steps), slots)


KV_FORMS: dict[str, type[KvForm]] = {"delta": DeltaForm, "scatter": ScatterForm}


def _joined_heads(graph: GraphBuilder, config: ModelConfig, mixed: str) -> str:
    """Put the heads side by side  # [B, Hq, S, D] -> [B, S, Hq * D]."""
    mixed = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return graph.op("Reshape", mixed, graph.ints(0, 0, config.query_width))


def rotate(graph: GraphBuilder, heads: str, rotation: Rotation) -> str:
    """Rotate heads by their positions  # [B, H, S, D] -> the same."""
    first, second = graph.ops("Split", 2, heads, axis=-1, num_outputs=2)
    swapped = graph.op("Concat", second, first, axis=-1)
    turned = graph.op("Mul", swapped, rotation.sin)  # the sign is in the table
    return graph.op("Add", graph.op("Mul", heads, rotation.cos), turned)


def split_heads(graph: GraphBuilder, config: ModelConfig, rotation: Rotation, qkv: str) -> tuple[str, str, str]:
    """Split joint projections into rotated q, k and plain v  # [B, S, (Hq + 2 Hkv) * D] -> [B, H, S, D] each.

    Rotation and query scale are computed in float32 and rounded once to the activations' type.
    """
    heads = config.num_heads + 2 * config.num_kv_heads
    apart = graph.op("Reshape", qkv, graph.ints(0, 0, heads, config.head_dim))
    apart = graph.op("Transpose", apart, perm=[0, 2, 1, 3])
    rotating = config.num_heads + config.num_kv_heads
    turning, value = graph.ops("Split", 2, apart, graph.ints(rotating, config.num_kv_heads), axis=1)
    turned = rotate(graph, graph.widen(turning), rotation)  # query and key heads at once
    query, key = graph.ops("Split", 2, turned, graph.ints(config.num_heads, config.num_kv_heads), axis=1)
    if rotation.query_scale is not None:
        query = graph.op("Mul", query, rotation.query_scale)
    return graph.narrow(query), graph.narrow(key), value
