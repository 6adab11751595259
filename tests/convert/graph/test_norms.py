"""RMSNorm with the sum before it: ONNX Runtime's own node gives the numbers of the standard operators."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper
from trimode_convert.graph.builder import GraphBuilder
from trimode_convert.graph.norms import FusedNorms, Norms, StandardNorms

from tests.support.arrays import Array

RANDOM = np.random.default_rng(0)
WIDTH, EPSILON = 24, 1e-3
HIDDEN, CHANGE = RANDOM.standard_normal((2, 3, 5, WIDTH), np.float32)
GAIN = RANDOM.standard_normal(WIDTH, np.float32)
FORMS = pytest.mark.parametrize("norms", [StandardNorms(EPSILON), FusedNorms(EPSILON)], ids=["standard", "fused"])


def expected(x: Array) -> Array:
    return np.asarray(x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON) * GAIN)


def graph_of() -> GraphBuilder:
    graph = GraphBuilder("none")
    graph.initializers["gain"] = numpy_helper.from_array(GAIN, "gain")
    for name in ("hidden", "change"):
        graph.input(name, "float32", ["batch", "seq", WIDTH])
    return graph


def run(graph: GraphBuilder, *values: str) -> list[Array]:
    for index, value in enumerate(values):
        graph.output(f"out.{index}", value, "float32", ["batch", "seq", WIDTH])
    session = onnxruntime.InferenceSession(graph.model("norms").SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"hidden": HIDDEN, "change": CHANGE}
    return [np.asarray(found) for found in session.run(None, {one.name: given[one.name] for one in graph.inputs})]


@FORMS
def test_the_first_norm_is_of_its_input(norms: Norms) -> None:
    graph = graph_of()
    (found,) = run(graph, norms.first(graph, "hidden", "gain"))
    np.testing.assert_allclose(found, expected(HIDDEN), rtol=1e-5, atol=1e-6)


@FORMS
def test_a_later_norm_is_of_the_sum_which_is_returned_too(norms: Norms) -> None:
    graph = graph_of()
    total, normed = run(graph, *norms.after(graph, "hidden", "change", "gain"))
    np.testing.assert_array_equal(total, HIDDEN + CHANGE)
    np.testing.assert_allclose(normed, expected(HIDDEN + CHANGE), rtol=1e-5, atol=1e-6)


def test_the_fused_form_is_one_node() -> None:
    graph = graph_of()
    FusedNorms(EPSILON).after(graph, "hidden", "change", "gain")
    assert [node.op_type for node in graph.nodes] == ["SkipSimplifiedLayerNormalization"]
