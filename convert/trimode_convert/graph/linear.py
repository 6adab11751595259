"""Linear layers of the graph: plain products, and int8 with activation scales per token for ONNX Runtime.

Per token, never per tensor: with a scale shared by tokens, a request's result would depend on its neighbours in the
batch, and a verification would differ from the step it verifies. Does not know what a layer is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..weights.weight_file import Part, WeightLayout
from .builder import ELEMENT_TYPES, GraphBuilder

STEP = 1 / 127  # the quantization step of activations that were divided by their largest absolute value
FINER = 254  # how much finer the second digit is: half a step of the first is the second's largest value, 127
Linear = Callable[[GraphBuilder, WeightLayout, str, str, Sequence[Part]], str]


def plain_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] in the graph's type  # x [..., in] -> [..., out]."""
    return graph.op("MatMul", x, graph.external(weights.matrix(name, parts, graph.dtype)))


def int8_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] in int8 arithmetic  # x [B, S, in] -> [B, S, out]."""
    matrix, channel_scales = weights.int8_matrix(name, parts, scale_factor=STEP)
    product = int8_product(graph, x, graph.external(matrix), digits=1)
    return graph.op("Mul", product, graph.external(channel_scales))


def int8_fine_linear(graph: GraphBuilder, weights: WeightLayout, x: str, name: str, parts: Sequence[Part]) -> str:
    """Return x @ [parts side by side] with weights in int8 and activations in two digits  # [B, S, in] -> [B, S, out].

    Of int8's error nearly all is the activations': few channels are large, and a step that is right for them is coarse
    for the others. The second digit takes that away and leaves the weights' (SmolLM2: relative RMS of the logits 0.019,
    with one digit 0.060). It doubles the rows of the product, which costs little where few rows are computed.
    """
    matrix, channel_scales = weights.int8_matrix(name, parts, scale_factor=STEP)
    product = int8_product(graph, x, graph.external(matrix), digits=2)
    return graph.op("Mul", product, graph.external(channel_scales))


def int8_product(graph: GraphBuilder, x: str, matrix: str, digits: int) -> str:
    """Return x @ matrix / STEP, the matrix int8 [in, out], in integers  # x [B, S, in] -> float32 [B, S, out].

    A token's values are divided by the largest of them and rounded to one digit of 255 values, or to two, the second of
    which counts 1 / FINER of the first.

    Activations are u8 around 128 because x86 multiplies u8 by i8. Without VNNI instructions that product saturates
    in 16 bits: ONNX Runtime's session.x64quantprecision=1 avoids it there.
    """
    # Axis 2, not -1: with no rows at all, ONNX Runtime 1.31 gives a reduction over axis -1 the shape of its input.
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.ints(2), keepdims=1)  # [B, S, 1]
    largest = graph.op("Max", largest, graph.constant(np.float32(1e-12)))  # a token of zeros divides by something
    zero, step = graph.constant(np.uint8(128)), graph.constant(np.float32(STEP))
    share = graph.op("Div", x, largest)
    whole = graph.op("QuantizeLinear", share, step, zero)
    if digits == 2:
        rest = graph.op("Sub", share, graph.op("DequantizeLinear", whole, step, zero))  # at most half a step
        second = graph.op("QuantizeLinear", rest, graph.constant(np.float32(STEP / FINER)), zero)
        whole = graph.op("Concat", whole, second, axis=0)  # one product, so that the matrix is read once
    product = graph.op("MatMulInteger", whole, matrix, zero)  # i32 [B or 2 B, S, out]
    product = graph.op("Cast", product, to=ELEMENT_TYPES["float32"])
    if digits == 2:
        first, second = graph.ops("Split", 2, product, axis=0, num_outputs=2)
        product = graph.op("Add", first, graph.op("Mul", second, graph.constant(np.float32(1 / FINER))))
    return graph.op("Mul", product, largest)
