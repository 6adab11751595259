"""Products with weights in blocks of 4 and 8 bits: near the whole numbers' product, and each row on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from trimode.engines.onnx.processor import byte_products_are_exact
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.graph.blockwise_linear import int4_blocks_linear, int8_blocks_linear
from trimode_convert.graph.builder import GraphBuilder
from trimode_convert.graph.linear import Linear
from trimode_convert.weights.weight_file import Part, WeightLayout

from tests.support import checkpoints as factory
from tests.support.arrays import Array

RANDOM = np.random.default_rng(0)
IN, OUT = 96, 80
W = RANDOM.standard_normal((OUT, IN), np.float32)
X = RANDOM.standard_normal((4, 9, IN), np.float32)
X[..., 5] *= 40  # channels that are larger than others are what 8 bits of activations suffer from
LINEARS = {"4 bits": int4_blocks_linear, "8 bits": int8_blocks_linear}


@pytest.fixture(params=LINEARS)
def linear(request: pytest.FixtureRequest) -> Linear:
    return LINEARS[request.param]


def product(folder: Path, linear: Linear, x: Array, weights: Array = W) -> Array:
    """x @ weights.T as ONNX Runtime computes it, weights as two parts  # [batch, seq, in] -> [batch, seq, out]."""
    folder.mkdir(exist_ok=True)
    factory.write_safetensors(folder / "t.safetensors", {"a": weights[:50], "b": weights[50:]})
    file = TensorFile.open(folder / "t.safetensors")
    graph, layout = GraphBuilder("data"), WeightLayout()
    given = graph.input("x", "float32", ["batch", "seq", weights.shape[1]])
    made = linear(graph, layout, given, "m", [Part(file.tensors["a"]), Part(file.tensors["b"])])
    graph.output("y", made, "float32", ["batch", "seq", len(weights)])
    (folder / "data").unlink(missing_ok=True)
    layout.write(folder / "data")
    file.close()
    (folder / "graph.onnx").write_bytes(graph.model("product").SerializeToString())
    session = onnxruntime.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


@pytest.mark.parametrize(("name", "limit"), [("4 bits", 0.12), ("8 bits", 0.015)])
def test_it_is_near_the_product_of_whole_numbers(tmp_path: Path, name: str, limit: float) -> None:
    exact = X @ W.T
    found = product(tmp_path, LINEARS[name], X)
    assert np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()) < limit


def test_a_token_alone_has_the_numbers_that_it_has_among_others(tmp_path: Path, linear: Linear) -> None:
    whole = product(tmp_path, linear, X)
    for batch, seq in ((1, 1), (1, 9), (4, 1), (2, 3)):
        alone = product(tmp_path, linear, X[:batch, :seq])
        if linear is LINEARS["4 bits"] and not byte_products_are_exact():  # then one row is added in another order
            np.testing.assert_allclose(alone, whole[:batch, :seq], rtol=1e-5, atol=1e-4)
        else:
            np.testing.assert_array_equal(alone, whole[:batch, :seq])


def test_inputs_that_are_no_whole_blocks_are_filled_up(tmp_path: Path, linear: Linear) -> None:
    odd = 40
    padded = np.zeros_like(W[:, :64])
    padded[:, :odd] = W[:, :odd]
    x = np.zeros_like(X[..., :64])
    x[..., :odd] = X[..., :odd]
    found = product(tmp_path / "odd", linear, X[..., :odd], W[:, :odd])
    np.testing.assert_allclose(found, product(tmp_path / "padded", linear, x, padded), rtol=1e-5, atol=1e-4)


def test_no_tokens_give_no_rows(tmp_path: Path, linear: Linear) -> None:
    assert product(tmp_path, linear, X[:, :0]).shape == (4, 0, OUT)
