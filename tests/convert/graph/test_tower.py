"""The tower's graph, in the forms of both runtimes, run on the CPU against the plain numpy tower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.precisions import ONNXRUNTIME, TENSORRT, Target
from trimode_convert.graph.tower import draw_tower
from trimode_convert.verify.numpy_tower import encode

from tests.support import vision_checkpoints as vision

CELLS = ((1, 1), (3, 2), (2, 5), (1, 1))  # across and down
SIDE = 10  # patches
Array = NDArray[np.float32]
Run = Callable[..., list[Array]]


def pictures(cells: tuple[tuple[int, int], ...] = CELLS) -> list[Array]:
    noise = np.random.default_rng(3)
    return [noise.standard_normal((3, 28 * down, 28 * across), np.float32) for across, down in cells]


def feeds(given: list[Array], names: set[str], side: int) -> dict[str, NDArray[Any]]:
    """Cut pictures into patches, cell by cell."""
    values, positions, numbers = list[Array](), list[int](), list[int]()
    for number, one in enumerate(given):
        for top in range(0, one.shape[1], 28):
            for left in range(0, one.shape[2], 28):
                for y, x in ((top, left), (top, left + 14), (top + 14, left), (top + 14, left + 14)):
                    values.append(one[:, y : y + 14, x : x + 14].reshape(-1))
                    positions.append(y // 14 * side + x // 14)
                    numbers.append(number)
    starts = np.cumsum([0, *(numbers.count(n) for n in range(len(given)))])
    made = {"patches": np.stack(values), "positions": np.array(positions), "pictures": np.array(numbers)}
    return {name: value for name, value in (made | {"starts": starts}).items() if name in names}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint.open(vision.write(tmp_path / "checkpoint"))


def session(checkpoint: Checkpoint, target: Target, precision: str, folder: Path) -> Run:
    """Write the graph and return what runs it on pictures, all as one sequence."""
    drawn = draw_tower(checkpoint, target=target, precision=precision, location="vision.data")
    drawn.weights.write(folder / "vision.data")
    onnx.save(drawn.model, folder / "vision.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    opened = onnxruntime.InferenceSession(folder / "vision.onnx", options)

    def run(given: list[Array], side: int = SIDE) -> list[Array]:
        inputs = feeds(given, {value.name for value in opened.get_inputs()}, side)
        (rows,) = opened.run(["features"], inputs)
        cells = [one.shape[1] * one.shape[2] // 784 for one in given]
        return list(np.split(rows, np.cumsum(cells)[:-1]))

    return run


@pytest.mark.parametrize(
    ("target", "precision", "worst"),
    [
        (ONNXRUNTIME, "float32", 1e-5),
        (ONNXRUNTIME, "int8", 0.1),
        (ONNXRUNTIME, "int4", 0.1),
        (TENSORRT, "float32", 1e-5),
        (TENSORRT, "float16", 0.02),
    ],
)
def test_rows_are_the_plain_towers(
    checkpoint: Checkpoint, tmp_path: Path, target: Target, precision: str, worst: float
) -> None:
    given = pictures()
    for ours, one in zip(session(checkpoint, target, precision, tmp_path)(given), given, strict=True):
        expected = encode(checkpoint, one)
        assert np.abs(ours - expected).max() <= worst * np.abs(expected).max()


@pytest.mark.parametrize("target", [ONNXRUNTIME, TENSORRT], ids=lambda target: target.runtime)
def test_a_picture_sees_itself_alone(checkpoint: Checkpoint, tmp_path: Path, target: Target) -> None:
    run, given = session(checkpoint, target, "float32", tmp_path), pictures()
    other = [given[0] + 5, given[1], given[2][:, :28], given[3]]
    np.testing.assert_allclose(run(given)[1], run(other)[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(run(given)[3], run([given[3]])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "yarn"])
def test_both_forms_give_the_kits_rows(vlm_kit: Path, tmp_path: Path, name: str) -> None:
    """The kit's pictures whose pixels it stores, of many sizes, as one sequence, within its own tolerance."""
    stored = np.load(vlm_kit / "vision" / f"{name}.npz")
    names = sorted(key.removesuffix("/pixels") for key in stored if key.endswith("/pixels"))
    given, expected = ([stored[f"{one}/{what}"] for one in names] for what in ("pixels", "features"))
    found = []
    with Checkpoint.open(vlm_kit / "checkpoints" / name) as opened:
        for target in (ONNXRUNTIME, TENSORRT):
            (folder := tmp_path / target.runtime).mkdir()
            found.append(session(opened, target, "float32", folder)(given, 110))
    assert len({one.shape for one in given}) > 2
    for ours, theirs, rows in zip(*found, expected, strict=True):
        np.testing.assert_allclose(ours, rows, rtol=0, atol=2e-4 * np.abs(rows).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(rows).max())


def test_a_place_counts(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """The same cell at another place, or turned in rows for columns, is not the same."""
    run, (cell,) = session(checkpoint, ONNXRUNTIME, "float32", tmp_path), pictures(((1, 1),))
    beside, below = np.concatenate([cell, cell], axis=2), np.concatenate([cell, cell], axis=1)
    (across, down) = run([beside, below])
    assert np.abs(across[0] - across[1]).max() > 1e-3
    assert np.abs(across[1] - down[1]).max() > 1e-3


def test_weights_are_external_and_the_graph_small(checkpoint: Checkpoint) -> None:
    drawn = draw_tower(checkpoint, target=ONNXRUNTIME, precision="float32", location="vision.data")
    outside = {one.name for one in drawn.model.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL}
    assert outside == {blob.name for blob in drawn.weights.blobs}
    assert len(drawn.model.SerializeToString()) < 40_000
