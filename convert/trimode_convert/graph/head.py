"""The end of the graph: logits of the rows asked for, and for GPU engines the best token and its probability.

Knows that the mask id is never chosen (`engines.base.RowResult` says the same on the host). Knows nothing of layers.
"""

from __future__ import annotations

import numpy as np

from ..checkpoint.config import ModelConfig
from ..checkpoint.tensor_file import FloatArray
from ..weights.weight_file import WeightPlan
from .builder import GraphBuilder

NEVER = np.float32(-1e9)


def give_logits(graph: GraphBuilder, config: ModelConfig, logits: str) -> str:
    """Declare `logits` float32 [B, R, V] an output and return its name  # from [B, R, V] in the graph's type."""
    graph.output("logits", graph.widen(logits), "float32", ["batch", "rows", config.vocab_size])
    return "logits"


def give_top(graph: GraphBuilder, weights: WeightPlan, config: ModelConfig, logits: str) -> None:
    """Declare top_id int64 and top_prob float32 [B, R]: the likeliest token but the mask, its share of the softmax.

    The first of equal logits wins, as numpy's argmax does; the mask id's own probability counts in the sum.
    """

    def penalty() -> FloatArray:
        row = np.zeros(config.vocab_size, np.float32)
        row[config.mask_token_id] = NEVER
        return row

    banned = graph.external(weights.array("head.mask_penalty", penalty, (config.vocab_size,)))
    scores = graph.op("Add", logits, banned)  # [B, R, V]
    # Axis 2, not -1: see linear.int8_linear.
    best = graph.op("ReduceMax", scores, graph.ints(2), keepdims=1)
    share = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", logits, best)), graph.ints(2), keepdims=0)
    graph.output("top_id", graph.op("ArgMax", scores, axis=2, keepdims=0), "int64", ["batch", "rows"])
    graph.output("top_prob", graph.op("Reciprocal", share), "float32", ["batch", "rows"])
