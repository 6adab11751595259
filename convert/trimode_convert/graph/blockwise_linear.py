"""Linear layers with weights in blocks of 4 or 8 bits, as one node: ONNX Runtime's MatMulNBits.

It rounds the activations to 8 bits, with a scale for each block of each token, so that no scale depends on another row.
With 4 bits its kernels for processors without VNNI add a row alone in another order than several. Does not know what a
layer is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..weights.row_blocks import EIGHT_BITS, FOUR_BITS
from ..weights.weight_file import Blocks, Part, WeightLayout
from .builder import MICROSOFT, GraphBuilder

BYTE_PRODUCTS = 4  # MatMulNBits' accuracy_level: activations in 8 bits. With float activations it is many times slower


def int4_blocks_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] with weights in 4 bits  # x float32 [..., in] -> [..., out]."""
    return blocks_product(graph, x, weights.row_blocks(name, parts, FOUR_BITS))


def int8_blocks_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] with weights in 8 bits  # x float32 [..., in] -> [..., out]."""
    return blocks_product(graph, x, weights.row_blocks(name, parts, EIGHT_BITS))


def blocks_product(graph: GraphBuilder, x: str, matrix: Blocks) -> str:
    """Return the product with a matrix that is stored in blocks  # x float32 [..., in] -> [..., out]."""
    stored = [graph.external(blob) for blob in (matrix.codes, matrix.scales, matrix.middles) if blob is not None]
    return graph.op(
        "MatMulNBits", x, *stored, domain=MICROSOFT, K=matrix.width, N=matrix.codes.shape[0],
        bits=matrix.form.bits, block_size=matrix.form.size, accuracy_level=BYTE_PRODUCTS,
    )  # fmt: skip
