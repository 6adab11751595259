"""The tower on the CPU, and the passes that read its rows: cut anywhere, beside any neighbour, the numbers are one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.manifest import TOWER_GRAPH
from trimode.engines.base import Features, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.onnx.session import open_session
from trimode.engines.onnx.tower import OnnxRuntimeTower
from trimode.engines.tower import Tower
from trimode.errors import BundleError, EngineError
from trimode.vision.encoded import Encoded, PromptPictures

from tests.support.arrays import Array, assert_close

PAD = 19
PROMPT = [1, 18, *[PAD] * 3, 20, *[PAD] * 3, 21, 5, 9, 18, PAD, 21, 7]


@pytest.fixture(scope="module", params=["plain", "yarn"])
def bundle(request: pytest.FixtureRequest, vlm_kit: Path, bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(vlm_kit / "checkpoints" / request.param)


def picture(across: int, down: int) -> Array:
    noise = np.random.default_rng(across * 100 + down)
    return noise.standard_normal((3, 28 * down, 28 * across)).astype(np.float32)


def test_pictures_together_are_pictures_apart(bundle: Path) -> None:
    tower: Tower = OnnxRuntimeTower.open(bundle, threads=1)
    given = [picture(3, 2), picture(1, 1), picture(2, 4)]
    for one, together in zip(given, tower.encode(given), strict=True):
        assert_close(together, tower.encode([one])[0])


def test_a_picture_that_is_no_cells_is_refused(bundle: Path) -> None:
    with pytest.raises(EngineError, match="whole cells"):
        OnnxRuntimeTower.open(bundle, threads=1).encode([np.zeros((3, 28, 30), np.float32)])


def test_a_bundle_that_reads_text_alone_has_none(parity_kit: Path, bundle_of: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="reads text alone"):
        OnnxRuntimeTower.open(bundle_of(parity_kit / "checkpoints" / "plain"), threads=1)


def test_a_tower_of_another_form_is_refused(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    content = (copy / TOWER_GRAPH).read_bytes()
    (copy / TOWER_GRAPH).write_bytes(content.replace(b"positions", b"pozitions"))
    with pytest.raises(BundleError, match=r"vision\.onnx has inputs"):
        OnnxRuntimeTower.open(copy, threads=1)


def test_a_graph_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"broken\.onnx cannot be loaded"):
        open_session(tmp_path / "broken.onnx", "float32", threads=1, spin=True)


def shown(engine: OnnxRuntimeEngine, seed: int) -> PromptPictures:
    noise = np.random.default_rng(seed)
    rows = [noise.standard_normal((n, engine.manifest.hidden_size)).astype(np.float32) for n in (6, 1)]
    found = PromptPictures.of(PROMPT, PAD, [Encoded(one, -1) for one in rows])
    assert found is not None
    return found


def read(slot: int, pictures: PromptPictures | None, start: int, count: int) -> Row:
    tokens = np.array(PROMPT[start : start + count], dtype=np.int64)
    features = None if pictures is None else pictures.within(start, count)
    return Row(slot, tokens, start, "causal", np.array([count - 1]), keep=True, features=features)


@pytest.fixture
def engine(bundle: Path) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=4)


def test_pictures_change_what_is_said(engine: OnnxRuntimeEngine) -> None:
    slot, size = engine.allocate(block=False), len(PROMPT)
    said = [
        engine.run([read(slot, one, 0, size)])[0].logits.copy() for one in (shown(engine, 1), shown(engine, 2), None)
    ]
    assert np.abs(said[0] - said[1]).max() > 0.01
    assert np.abs(said[0] - said[2]).max() > 0.01


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 12, 15])
def test_a_prompt_may_be_cut_inside_a_picture(engine: OnnxRuntimeEngine, cut: int) -> None:
    pictures, size = shown(engine, 1), len(PROMPT)
    whole, parts = engine.allocate(block=False), engine.allocate(block=False)
    expected = engine.run([read(whole, pictures, 0, size)])[0].logits.copy()
    engine.run([read(parts, pictures, 0, cut)])
    assert_close(engine.run([read(parts, pictures, cut, size - cut)])[0].logits, expected)


def test_neighbours_of_a_call_do_not_see_its_pictures(engine: OnnxRuntimeEngine) -> None:
    slots = [engine.allocate(block=False) for _ in range(3)]
    given = [shown(engine, 1), None, shown(engine, 2)]
    rows = [read(slot, one, 0, size) for slot, one, size in zip(slots, given, (16, 9, 12), strict=True)]
    alone = [engine.run([row])[0].logits.copy() for row in rows]
    for ours, expected in zip(engine.run(rows), alone, strict=True):
        assert_close(ours.logits, expected)


def test_what_was_shown_is_not_seen_by_the_next_call_of_the_shape(engine: OnnxRuntimeEngine) -> None:
    slot, size = engine.allocate(block=False), len(PROMPT)
    expected = engine.run([read(slot, None, 0, size)])[0].logits.copy()
    engine.run([read(slot, shown(engine, 1), 0, size)])
    assert_close(engine.run([read(slot, None, 0, size)])[0].logits, expected)
    few = Features(np.array([2]), shown(engine, 1).pictures[0].features[:1])
    once = engine.run([read(slot, None, 0, size)._replace(features=few)])[0].logits.copy()
    engine.run([read(slot, shown(engine, 2), 0, size)])
    assert_close(engine.run([read(slot, None, 0, size)._replace(features=few)])[0].logits, once)
