"""Linear layers with weights in blocks of 4 or 8 bits, as one node: ONNX Runtime's MatMulNBits.

It rounds the activations to 8 bits, with a scale for each block of each token, so that a row's result does not depend
on its neighbours. Does not know what a layer is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..weights.row_blocks import EIGHT_BITS, FOUR_BITS, RowBlocks
from ..weights.weight_file import Blob, Part, WeightLayout
from .builder import MICROSOFT, GraphBuilder

BYTE_PRODUCTS = 4  # MatMulNBits' accuracy_level: activations in 8 bits. With float activations it is many times slower


def int4_blocks_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] with weights in 4 bits  # x float32 [..., in] -> [..., out]."""
    return blocks_product(graph, x, *weights.row_blocks(name, parts, FOUR_BITS), parts[0].tensor.shape[1], FOUR_BITS)


def int8_blocks_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] with weights in 8 bits  # x float32 [..., in] -> [..., out]."""
    return blocks_product(graph, x, *weights.row_blocks(name, parts, EIGHT_BITS), parts[0].tensor.shape[1], EIGHT_BITS)


def blocks_product(graph: GraphBuilder, x: str, codes: Blob, scales: Blob, width: int, blocks: RowBlocks) -> str:
    """Return the product with a matrix that is stored in blocks, of `width` inputs  # [..., in] -> [..., out]."""
    return graph.op(
        "MatMulNBits", x, graph.external(codes), graph.external(scales), domain=MICROSOFT,
        K=width, N=codes.shape[0], bits=blocks.bits, block_size=blocks.size, accuracy_level=BYTE_PRODUCTS,
    )  # fmt: skip
