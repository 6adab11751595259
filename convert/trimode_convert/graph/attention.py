"""Attention of one layer after the projections: rotation, masks, scores over cache and new tokens, weighted sum.

`KV_FORMS` is the one switch for how the graph takes and returns keys and values. Knows nothing about projections,
weights of layers or precisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..checkpoint.config import ModelConfig
from ..checkpoint.tensor_file import FloatArray
from ..weights.weight_file import WeightLayout
from .builder import Dim, GraphBuilder
from .rope import cosines, query_scale, sines

HIDDEN_SCORE = np.float32(-1e9)  # finite, so that a row that may see nothing does not become NaN


class KvForm(Protocol):
    """One way to keep the cache. Made once per graph, it declares its inputs; `attend` is called once per layer."""

    def __init__(
        self, graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, capacity: int, position_ids: str
    ) -> None: ...

    def attend(self, layer: int, qkv: str) -> str:
        """Return the mix of values  # joint projections [B, S, (Hq + 2 Hkv) * D] -> [B, S, Hq * D]."""
        ...


class DeltaForm:
    """The cache is an input only; new keys and values are outputs, which the host keeps or drops.

    One node of a kind: rotation and attention are ONNX's own operators, which ONNX Runtime computes whole. Heads stay
    side by side, so that nothing is transposed. The cache after `past_len` is ignored as long as it is finite and its
    scores stay below 1e9: the mask is added.
    """

    def __init__(
        self, graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, capacity: int, position_ids: str
    ) -> None:
        self.graph = graph
        self.config = config
        self.position_ids = position_ids
        past_len = graph.input("past_len", "int64", ["batch"])
        block_mask = graph.input("block_mask", "bool", ["batch", "seq", "seq"])
        shape: list[Dim] = ["batch", config.num_kv_heads, "capacity", config.head_dim]
        for layer in range(config.num_layers):
            graph.input(f"past_key.{layer}", "float32", shape)
            graph.input(f"past_value.{layer}", "float32", shape)
        self.of_keys = self.of_queries = _pair_tables(graph, weights, config, capacity)
        scale = query_scale(config.rope, capacity)
        if scale is not None:  # a factor by position, as cos and sin are: their tables take it in
            self.of_queries = _pair_tables(graph, weights, config, capacity, scale)
        self.bias = self._bias(past_len, block_mask)

    def attend(self, layer: int, qkv: str) -> str:
        """Return the mix of values; declare the new keys and values as outputs  # [B, S, Hkv * D]."""
        graph, config = self.graph, self.config
        heads, kv_heads = config.num_heads, config.num_kv_heads
        widths = graph.ints(config.query_width, config.kv_width, config.kv_width)
        query, key, value = graph.ops("Split", 3, qkv, widths, axis=-1)
        query = graph.op("RotaryEmbedding", query, *self.of_queries, self.position_ids, num_heads=heads)
        key = graph.op("RotaryEmbedding", key, *self.of_keys, self.position_ids, num_heads=kv_heads)
        shape: list[Dim] = ["batch", "seq", config.kv_width]
        graph.output(f"new_key.{layer}", key, "float32", shape)
        graph.output(f"new_value.{layer}", value, "float32", shape)
        mixed, _, _ = graph.ops(  # it also returns cache and new tokens side by side, and refuses to leave that out
            "Attention", 3, query, f"new_key.{layer}", f"new_value.{layer}", self.bias,
            f"past_key.{layer}", f"past_value.{layer}",
            q_num_heads=heads, kv_num_heads=kv_heads, scale=config.head_dim**-0.5,
        )  # fmt: skip
        return mixed

    def _bias(self, past_len: str, block_mask: str) -> str:
        """Return 0 where a query may see a key and -1e9 elsewhere  # [B, 1, S, C + S]."""
        graph = self.graph
        capacity = graph.op("Shape", "past_key.0", start=2, end=3)
        zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
        slots = graph.op("Range", zero, graph.op("Squeeze", capacity), one)  # (C,)
        filled = graph.op("Less", slots, graph.op("Unsqueeze", past_len, graph.ints(1, 2)))  # [B, 1, C]
        seq = graph.op("Shape", block_mask, start=1, end=2)
        rows = graph.op("Concat", graph.ints(1), seq, graph.ints(1), axis=0)
        visible = graph.op("Concat", graph.op("Expand", filled, rows), block_mask, axis=-1)  # [B, S, C + S]
        seen, hidden = graph.constant(np.float32(0.0)), graph.constant(HIDDEN_SCORE)
        return graph.op("Unsqueeze", graph.op("Where", visible, seen, hidden), graph.ints(1))


class ScatterForm:
    """The cache is written in place: a buffer of fixed capacity goes in as past_* and comes out as present_*.

    Both names must be bound to one address. New rows are always written at `write_indices`: a draft leaves rows that
    the next causal pass overwrites. Attention reads the first L rows, where L is the mask's length. Only the mask says
    what is seen: Attention's own is_causal counts from the wrong corner once there is a cache, and TensorRT silently
    drops its nonpad_kv_seqlen. A query always sees its own key, so that a padded row does not become NaN and stay in
    the cache.
    """

    def __init__(
        self, graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, capacity: int, position_ids: str
    ) -> None:
        self.graph = graph
        self.config = config
        self.rotation = _rotation(graph, weights, config, capacity, position_ids)
        self.shape: list[Dim] = ["batch", config.num_kv_heads, capacity, config.head_dim]
        self.write = graph.input("write_indices", "int64", ["batch"])
        mask = graph.input("attn_mask", "bool", ["batch", 1, "seq", "length"])
        for layer in range(config.num_layers):
            graph.input(f"past_key.{layer}", graph.dtype, self.shape)
            graph.input(f"past_value.{layer}", graph.dtype, self.shape)
        self.length = graph.op("Shape", mask, start=3, end=4)
        self.mask = graph.op("Or", mask, self._own(mask))

    def attend(self, layer: int, qkv: str) -> str:
        """Return the mix of values; declare the updated cache as outputs."""
        graph = self.graph
        query, key, value = _split_heads(graph, self.config, self.rotation, qkv)
        cached = []
        for kind, rows in (("key", key), ("value", value)):
            present = graph.op("TensorScatter", f"past_{kind}.{layer}", rows, self.write, axis=2, mode="linear")
            graph.output(f"present_{kind}.{layer}", present, graph.dtype, self.shape)
            seen = graph.op("Slice", f"present_{kind}.{layer}", graph.ints(0), self.length, graph.ints(2))
            cached.append(seen)  # [B, Hkv, L, D]
        mixed = graph.op("Attention", query, *cached, self.mask, scale=1.0)  # [B, Hq, S, D]
        mixed = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
        return graph.op("Reshape", mixed, graph.ints(0, 0, self.config.query_width))

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


def _pair_tables(
    graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, capacity: int, scale: FloatArray | None = None
) -> tuple[str, str]:
    """Return cos and sin of each pair of channels, as RotaryEmbedding takes them, times `scale`  # (capacity, D / 2).

    They are computed when the weights are written: those of 262,144 positions take 134 MB each.
    """
    name, half = "rope" if scale is None else "rope.query", config.head_dim // 2

    def table(function: Callable[..., FloatArray]) -> FloatArray:
        values = function(config.rope, config.head_dim, capacity)[:, half:]  # the halves differ in the sines' sign
        return np.ascontiguousarray(values if scale is None else values * scale[:, None])

    cos = weights.array(f"{name}.cos", lambda: table(cosines), (capacity, half))
    sin = weights.array(f"{name}.sin", lambda: table(sines), (capacity, half))
    return graph.external(cos), graph.external(sin)


@dataclass(frozen=True)
class Rotation:
    """cos and sin at each new token, and the factor of queries  # [B, 1, S, D or 1], float32."""

    cos: str
    sin: str
    query_scale: str


def _rotation(
    graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, capacity: int, position_ids: str
) -> Rotation:
    """Gather the rotation of each new token; 1 / sqrt(D) comes with it, in float32, where no weights are rounded."""
    rope, shape = config.rope, (capacity, config.head_dim)
    cos = weights.array("rope.cos", lambda: cosines(rope, shape[1], shape[0]), shape)
    sin = weights.array("rope.sin", lambda: sines(rope, shape[1], shape[0]), shape)
    rows = [graph.op("Gather", graph.external(table), position_ids) for table in (cos, sin)]
    at_cos, at_sin = (graph.op("Unsqueeze", row, graph.ints(1)) for row in rows)  # [B, 1, S, D]
    scale, softmax_scale = query_scale(rope, capacity), np.float32(config.head_dim**-0.5)
    if scale is None:
        return Rotation(at_cos, at_sin, graph.constant(softmax_scale))
    scaled = scale * softmax_scale
    table = weights.array("rope.query_scale", lambda: scaled, scaled.shape)
    scales = graph.op("Gather", graph.external(table), position_ids)
    return Rotation(at_cos, at_sin, graph.op("Unsqueeze", scales, graph.ints(1, 3)))


def _rotate(graph: GraphBuilder, heads: str, rotation: Rotation) -> str:
    """Rotate heads by their positions  # [B, H, S, D] -> the same."""
    first, second = graph.ops("Split", 2, heads, axis=-1, num_outputs=2)
    swapped = graph.op("Concat", second, first, axis=-1)
    turned = graph.op("Mul", swapped, rotation.sin)  # the sign is in the table
    return graph.op("Add", graph.op("Mul", heads, rotation.cos), turned)


def _split_heads(graph: GraphBuilder, config: ModelConfig, rotation: Rotation, qkv: str) -> tuple[str, str, str]:
    """Split joint projections into rotated q, k and plain v  # [B, S, (Hq + 2 Hkv) * D] -> [B, H, S, D] each.

    Rotation and query scale are computed in float32 and rounded once to the activations' type.
    """
    heads = config.num_heads + 2 * config.num_kv_heads
    apart = graph.op("Reshape", qkv, graph.ints(0, 0, heads, config.head_dim))
    apart = graph.op("Transpose", apart, perm=[0, 2, 1, 3])
    rotating = config.num_heads + config.num_kv_heads
    turning, value = graph.ops("Split", 2, apart, graph.ints(rotating, config.num_kv_heads), axis=1)
    turned = _rotate(graph, graph.widen(turning), rotation)  # query and key heads at once
    query, key = graph.ops("Split", 2, turned, graph.ints(config.num_heads, config.num_kv_heads), axis=1)
    query = graph.op("Mul", query, rotation.query_scale)
    return graph.narrow(query), graph.narrow(key), value
