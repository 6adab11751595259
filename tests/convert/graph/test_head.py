"""The end of a GPU's graph, run by ONNX Runtime over logits that are given: ties, the mask id, what is not a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from trimode.engines.base import RowResult
from trimode.engines.device_result import DeviceResult
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.builder import GraphBuilder
from trimode_convert.graph.head import give_top
from trimode_convert.weights.weight_file import WeightLayout

from tests.support import checkpoints as factory

INF, NAN = np.inf, np.nan


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[onnxruntime.InferenceSession, int, int]:
    """A graph of the head alone, the size of its vocabulary and the mask id."""
    folder = tmp_path_factory.mktemp("head")
    with Checkpoint.open(factory.write(folder / "checkpoint")) as checkpoint:
        config = checkpoint.config
        weights, graph = WeightLayout(), GraphBuilder("head.data")
        logits = graph.input("logits", "float32", ["batch", "rows", config.vocab_size])
        give_top(graph, weights, config, logits)
        weights.write(folder / "head.data")
    path: Path = folder / "head.onnx"
    path.write_bytes(graph.model("head").SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, config.vocab_size, config.mask_token_id


def rows(size: int, *changes: dict[int, float]) -> NDArray[Any]:
    """Logits that are 0 but for `changes` of each row  # (1, rows, size)."""
    logits = np.zeros((1, len(changes), size), np.float32)
    for row, changed in enumerate(changes):
        for column, value in changed.items():
            logits[0, row, column] = value
    return logits


def test_the_first_of_equals_is_chosen_and_the_mask_never(model: tuple[Any, int, int]) -> None:
    session, size, mask = model
    others = [one for one in range(size) if one != mask]
    last = others[-1]
    ids, probs = session.run(None, {"logits": rows(size, {}, {mask: 2e38}, {last: 1.0}, {others[3]: 7, last: 7})})
    assert ids[0].tolist() == [others[0], others[0], last, others[3]]
    assert ids.dtype == np.int64
    np.testing.assert_allclose(probs[0, [0, 1]], [1 / size, 0.0], rtol=1e-5)


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("column", ["mask", "other"])
def test_what_is_not_finite_is_noticed_as_in_logits_on_the_host(
    value: float, column: str, model: tuple[Any, int, int]
) -> None:
    session, size, mask = model
    logits = rows(size, {mask if column == "mask" else (mask + 1) % size: value}, {mask: -INF})
    ids, probs = session.run(None, {"logits": logits})
    assert ids.min() >= 0 and ids.max() < size
    for row in range(2):
        device = DeviceResult(ids[0, row : row + 1], probs[0, row : row + 1], lambda: logits[0], mask)
        host = RowResult(logits[0, row : row + 1], mask)
        assert device.finite == host.finite == (row == 1)
