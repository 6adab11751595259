"""The end of the graph: logits of the rows asked for, and for GPU engines the best token and its probability.

Knows that the mask id is never chosen, as the runtime's `engines.base.RowResult` says too. Knows nothing about layers.
"""

from __future__ import annotations

import numpy as np

from ..checkpoint.config import ModelConfig
from ..checkpoint.tensor_file import FloatArray
from ..weights.weight_file import WeightLayout
from .builder import GraphBuilder

NEVER = np.float32(-3e38)
"""Added to the mask id's logit, so that it is never the largest. Finite, so that +inf stays: it is then the largest
score, and the probability becomes NaN."""


def give_logits(graph: GraphBuilder, config: ModelConfig, logits: str) -> str:
    """Declare `logits` float32 [B, R, V] an output and return its name  # from [B, R, V] in the graph's type."""
    graph.output("logits", graph.widen(logits), "float32", ["batch", "rows", config.vocab_size])
    return "logits"


def give_top(graph: GraphBuilder, weights: WeightLayout, config: ModelConfig, logits: str) -> None:
    """Declare top_id int64 and top_prob float32 [B, R]: the most likely token except the mask, and its probability.

    Of equal logits the first wins, as in numpy's argmax: that is in the graph, since TensorRT has no rule for ties in
    its top-k, from which it makes ArgMax. The smallest index of the largest score is one kernel with the softmax's sum;
    ArgMax took a float32 copy of all scores (TensorRT-RTX 1.7: 268 MB for 512 rows). The mask id's own probability
    counts in the sum. top_prob is NaN where any logit is NaN or +inf, the mask id's included; top_id is then any id.
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
    zero, one, size = (graph.constant(np.int64(number)) for number in (0, 1, config.vocab_size))
    ids, last = graph.op("Range", zero, size, one), graph.constant(np.int64(config.vocab_size - 1))
    candidates = graph.op("Where", graph.op("Equal", scores, best), ids, last)  # no id is above `last`
    graph.output("top_id", graph.op("ReduceMin", candidates, graph.ints(2), keepdims=0), "int64", ["batch", "rows"])
    graph.output("top_prob", graph.op("Reciprocal", share), "float32", ["batch", "rows"])
