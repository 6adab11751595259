"""Linear layers with explicit Q/DQ nodes, in the forms that TensorRT fuses: weights alone, or activations too.

Every scale belongs to weights or to one token, so a row's result does not depend on its neighbours and no calibration
data is needed. Scales are in the activations' type, because TensorRT refuses others. These forms were compiled with
TensorRT-RTX 1.7 and computed with ONNX Runtime, but not executed on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..weights.rounding import LARGEST, Codes
from ..weights.weight_file import Part, WeightLayout
from .builder import GraphBuilder
from .linear import Linear

# Quantization steps of activations: powers of two, which every type represents exactly. A token's values are first
# divided by its largest absolute value / (largest code * step).
STEPS = {"int8": 2.0**-7, "float8e4m3": 2.0**-8}


def weight_only(codes: Codes) -> Linear:
    """Return a linear layer whose weights are codes and whose product is in the activations' type."""

    def linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
        return graph.op("MatMul", x, dequantized(graph, weights, name, parts, codes))

    return linear


def per_token(codes: Codes) -> Linear:
    """Return a linear layer whose activations are codes too, each token scaled by its own largest value."""
    step = STEPS[codes.dtype]
    reach = np.float32(LARGEST[codes.dtype] * step)  # the largest value that a code stands for

    def linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
        wide = graph.widen(x)
        # Axis 2, not -1: see linear.int8_linear.
        largest = graph.op("ReduceMax", graph.op("Abs", wide), graph.ints(2), keepdims=1)  # [B, S, 1]
        largest = graph.op("Max", largest, graph.constant(np.float32(1e-12)))
        size = graph.op("Div", largest, graph.constant(reach))
        zero = graph.scalar(0.0, codes.dtype)
        whole = graph.op("QuantizeLinear", graph.op("Div", wide, size), graph.scalar(step, "float32"), zero)
        rough = graph.op("DequantizeLinear", whole, graph.scalar(step, graph.dtype))
        product = graph.op("MatMul", rough, dequantized(graph, weights, name, parts, codes))
        return graph.narrow(graph.op("Mul", graph.widen(product), size))

    return linear


def dequantized(graph: GraphBuilder, weights: WeightLayout, name: str, parts: Sequence[Part], codes: Codes) -> str:
    """Return the matrix that codes and scales stand for  # [in, out] in the activations' type."""
    matrix = weights.quantized(name, parts, codes, graph.dtype)
    scales = graph.external(matrix.scales)
    if matrix.shared is not None:
        scales = graph.op("DequantizeLinear", scales, graph.external(matrix.shared))
    whole = graph.external(matrix.codes)
    if codes.block is None:
        return graph.op("DequantizeLinear", whole, scales, axis=1)
    return graph.op("DequantizeLinear", whole, scales, axis=0, block_size=codes.block)
