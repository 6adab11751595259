"""The two ends of the graph, embedding and head: apart, or one matrix for both where the checkpoint ties them.

One matrix halves what they take on disk, and is for ONNX Runtime alone. Knows nothing about layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..checkpoint.checkpoint import EMBEDDING, Checkpoint
from ..checkpoint.tensor_file import Tensor
from ..weights.row_blocks import EIGHT_BITS
from ..weights.weight_file import Blocks, Part, WeightLayout
from .blockwise_linear import blocks_product, int8_blocks_linear
from .builder import MICROSOFT, GraphBuilder
from .linear import STEP, Linear, int8_fine_linear, int8_product, plain_linear


class Ends(Protocol):
    """How ids become hidden states, and hidden states logits."""

    def embed(self, ids: str) -> str:
        """Return the rows of the embedding in the graph's type  # int64 [B, S] -> [B, S, H]."""

    def project(self, hidden: str) -> str:
        """Return the logits in the graph's type  # [B, R, H] -> [B, R, V]."""


def ends_of(graph: GraphBuilder, checkpoint: Checkpoint, weights: WeightLayout, head: Linear, *, share: bool) -> Ends:
    """Return the ends of a checkpoint in a graph; its head is computed by `head`, tied ones may `share` one matrix."""
    embedding = checkpoint.tensors[EMBEDDING]
    if share and checkpoint.head is embedding:
        if head is plain_linear:
            return Tied(graph, weights, embedding)
        if head is int8_fine_linear:
            return TiedInt8(graph, weights, embedding)
    if head is int8_blocks_linear:
        return InBlocks(graph, weights, embedding, checkpoint.head)
    return Apart(graph, weights, embedding, checkpoint.head, head)


@dataclass(frozen=True)
class Apart:
    """Two matrices: the embedding as it is, the head as its linear layer stores it."""

    graph: GraphBuilder
    weights: WeightLayout
    embedding: Tensor
    head: Tensor
    linear: Linear

    def embed(self, ids: str) -> str:
        """See Ends."""
        graph = self.graph
        return graph.op("Gather", graph.external(self.weights.copy("embedding", self.embedding, graph.dtype)), ids)

    def project(self, hidden: str) -> str:
        """See Ends."""
        return self.linear(self.graph, self.weights, hidden, "head", [Part(self.head)])


@dataclass(frozen=True)
class Tied:
    """One float matrix [V, H]. ONNX Runtime packs it for Gemm as it packs MatMul's, so the numbers are the same."""

    graph: GraphBuilder
    weights: WeightLayout
    tensor: Tensor

    @cached_property
    def matrix(self) -> str:
        """The matrix of both, in the graph once."""
        return self.graph.external(self.weights.copy("embedding", self.tensor, self.graph.dtype))

    def embed(self, ids: str) -> str:
        """See Ends."""
        return self.graph.op("Gather", self.matrix, ids)

    def project(self, hidden: str) -> str:
        """See Ends."""
        graph = self.graph
        vocab, width = self.tensor.shape
        product = graph.op("Gemm", graph.op("Reshape", hidden, graph.ints(-1, width)), self.matrix, transB=1)
        shape = graph.op("Concat", graph.op("Shape", hidden, start=0, end=2), graph.ints(vocab), axis=0)
        return graph.op("Reshape", product, shape, allowzero=1)  # there may be no rows


@dataclass(frozen=True)
class TiedInt8:
    """One int8 matrix [V, H] with a scale for each token. ONNX Runtime transposes it once, when it loads the graph."""

    graph: GraphBuilder
    weights: WeightLayout
    tensor: Tensor

    @cached_property
    def matrix(self) -> tuple[str, str]:
        """The codes of both and their scales, in the graph once."""
        codes, scales = self.weights.int8_rows("embedding", self.tensor)
        return self.graph.external(codes), self.graph.external(scales)

    def embed(self, ids: str) -> str:
        """See Ends."""
        graph, (codes, scales) = self.graph, self.matrix
        scale = graph.op("Unsqueeze", graph.op("Gather", scales, ids), graph.ints(2))  # [B, S, 1]
        return graph.op("Mul", graph.cast(graph.op("Gather", codes, ids), "float32"), scale)

    def project(self, hidden: str) -> str:
        """See Ends."""
        graph, (codes, scales) = self.graph, self.matrix
        product = int8_product(graph, hidden, graph.op("Transpose", codes, perm=[1, 0]), digits=2)
        return graph.op("Mul", product, graph.op("Mul", scales, graph.constant(np.float32(STEP))))


@dataclass(frozen=True)
class InBlocks:
    """Both ends in blocks of 8 bits. Where they are tied they are the same bytes of the weight file.

    The product keeps its matrix in an order of its own; of the file only the rows of tokens that occur are read.
    """

    graph: GraphBuilder
    weights: WeightLayout
    embedding: Tensor
    head: Tensor

    @cached_property
    def stored(self) -> Blocks:
        """The embedding, in the weight file once."""
        return self.weights.row_blocks("embedding", [Part(self.embedding)], EIGHT_BITS)

    def embed(self, ids: str) -> str:
        """See Ends."""
        graph, stored = self.graph, self.stored
        vocab, width = self.embedding.shape
        padded = stored.codes.shape[1] * stored.form.size
        rows = graph.op(
            "GatherBlockQuantized", graph.external(stored.codes, "embedding.rows", (vocab, padded)), ids,
            graph.external(stored.scales), domain=MICROSOFT, bits=8, block_size=stored.form.size, gather_axis=0,
            quantize_axis=1,
        )  # fmt: skip
        if padded == width:
            return rows
        return graph.op("Slice", rows, graph.ints(0), graph.ints(width), graph.ints(2))

    def project(self, hidden: str) -> str:
        """See Ends."""
        if self.head is self.embedding:
            return blocks_product(self.graph, hidden, self.stored)
        return int8_blocks_linear(self.graph, self.weights, hidden, "head", [Part(self.head)])
