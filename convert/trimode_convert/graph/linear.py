"""Linear layers of the graph: plain products, and int8 with one activation scale per token for ONNX Runtime.

Per token, never per tensor: with a scale shared by tokens, a request's result would depend on its neighbours in the
batch, and a verification would differ from the step it verifies. Does not know what a layer is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..weights.weight_file import Part, WeightLayout
from .builder import ELEMENT_TYPES, GraphBuilder

STEP = 1 / 127  # the quantization step of activations that were divided by their largest absolute value
Linear = Callable[[GraphBuilder, WeightLayout, str, str, Sequence[Part]], str]


def plain_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] in the graph's type  # x [..., in] -> [..., out]."""
    return graph.op("MatMul", x, graph.external(weights.matrix(name, parts, graph.dtype)))


def int8_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] in int8 arithmetic  # x [B, S, in] -> [B, S, out].

    Activations are u8 around 128 because x86 multiplies u8 by i8. Without VNNI instructions that product saturates
    in 16 bits: ONNX Runtime's session.x64quantprecision=1 avoids it there.
    """
    matrix, channel_scales = weights.int8_matrix(name, parts, scale_factor=STEP)
    # Axis 2, not -1: with no rows at all, ONNX Runtime 1.31 gives a reduction over axis -1 the shape of its input.
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.ints(2), keepdims=1)  # [B, S, 1]
    largest = graph.op("Max", largest, graph.constant(np.float32(1e-12)))  # a token of zeros divides by something
    zero = graph.constant(np.uint8(128))
    whole = graph.op("QuantizeLinear", graph.op("Div", x, largest), graph.constant(np.float32(STEP)), zero)
    product = graph.op("MatMulInteger", whole, graph.external(matrix), zero)  # i32 [B, S, out]
    product = graph.op("Mul", graph.op("Cast", product, to=ELEMENT_TYPES["float32"]), largest)
    return graph.op("Mul", product, graph.external(channel_scales))
