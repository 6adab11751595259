"""Pictures: pixels, tower, rows and logits within the kit's tolerances, and every decoding case exactly.

The kit was made from sources that agree with each other; the official files of the vision-language model could not be
seen. Run another kit of the same form with `pytest tests/parity/test_vlm.py --vlm-kit DIR`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.onnx.tower import OnnxRuntimeTower
from trimode.runtime import Runtime
from trimode.vision.encoder import Encoder
from trimode_convert.checkpoint.checkpoint import EMBEDDING, Checkpoint

from tests.conftest import vlm_kit_folder
from tests.parity import decoding, quadratic
from tests.parity.decoding import load_cases
from tests.parity.pictures import answered_together, by_rows, encoder_of, expected_of, pictures_of, prepared, rows_in

PIXELS = 1e-4  # the largest difference: the kit's own rule
TOLERANCE = 2e-4  # of the largest stored value: the kit's own rule


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kit = vlm_kit_folder(metafunc.config)
    cases = load_cases(kit)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
    if "checkpoint" in metafunc.fixturenames:
        metafunc.parametrize("checkpoint", sorted({case["checkpoint"] for case in cases}))


@pytest.fixture(scope="session")
def bundle_named(vlm_kit: Path, bundle_of: Callable[[Path], Path]) -> Callable[[str], Path]:
    return lambda name: bundle_of(vlm_kit / "checkpoints" / name)


def encoder_for(bundle: Path) -> tuple[OnnxRuntimeEngine, Encoder]:
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=2)
    assert engine.manifest.vision is not None
    return engine, encoder_of(bundle, engine.manifest.vision)


def close_to(ours: np.ndarray[Any, Any], stored: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(ours, stored, rtol=0, atol=TOLERANCE * np.abs(stored).max())


def test_pixels(vlm_kit: Path, checkpoint: str) -> None:
    stored = np.load(vlm_kit / "vision" / f"{checkpoint}.npz")
    names = {key.partition("/")[0] for key in stored}
    assert names
    for name in sorted(names):
        picture = prepared(vlm_kit, name)
        assert picture.pixels.shape == tuple(stored[f"{name}/shape"])
        if f"{name}/pixels" in stored:
            expected, ours = stored[f"{name}/pixels"], picture.pixels
        else:
            expected = stored[f"{name}/pixels_rows"]
            ours = picture.pixels[:, [row for row in (0, 28) if row < picture.pixels.shape[1]]]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=PIXELS)
        wide = picture.pixels.astype(np.float64)
        sums = np.array([wide.sum(), (wide**2).sum()])
        np.testing.assert_allclose(sums, stored[f"{name}/pixels_sum"], rtol=0, atol=PIXELS * wide.size)


def test_tower_and_rows(vlm_kit: Path, checkpoint: str, bundle_named: Callable[[str], Path]) -> None:
    """All pictures of the kit, which differ in size, as one sequence, and each by itself."""
    stored = np.load(vlm_kit / "vision" / f"{checkpoint}.npz")
    names = sorted({key.partition("/")[0] for key in stored})
    pictures = [prepared(vlm_kit, name) for name in names]
    tower = OnnxRuntimeTower.open(bundle_named(checkpoint), threads=1)
    pixels = [picture.pixels for picture in pictures]
    rows, states = tower.encode(pixels), tower.run(pixels, "patch_states")
    for name, picture, own, patches in zip(names, pictures, rows, states, strict=True):
        close_to(own, stored[f"{name}/features"])
        close_to(by_rows(patches, picture.cells[0], 2), stored[f"{name}/tower"])
        close_to(tower.encode([picture.pixels])[0], stored[f"{name}/features"])


def test_logits(vlm_kit: Path, checkpoint: str, bundle_named: Callable[[str], Path]) -> None:
    engine, encoder = encoder_for(bundle_named(checkpoint))
    with Checkpoint.open(vlm_kit / "checkpoints" / checkpoint) as opened:
        embedding = opened.tensors[EMBEDDING].read()
    stored = np.load(vlm_kit / "logits" / f"{checkpoint}.npz")
    compared = 0
    while f"prompt{compared}_ids" in stored:
        prefix, ids = f"prompt{compared}", stored[f"prompt{compared}_ids"].astype(np.int64)
        pictures = rows_in(vlm_kit, ids, [str(name) for name in stored[f"{prefix}_images"]], encoder)
        first, count = int(stored[f"{prefix}_first_row"]), len(ids)
        features = pictures.within(0, count)
        assert features is not None
        embedded = embedding[ids]
        embedded[features.places] = features.rows
        close_to(embedded[first:], stored[f"{prefix}_embeds"])
        slot = engine.allocate(block=False)
        want = np.arange(first, count)
        (causal,) = engine.run([Row(slot, ids, 0, "causal", want, keep=True, features=features)])
        close_to(causal.logits, stored[f"{prefix}_causal"])
        block = stored[f"{prefix}_block_ids"].astype(np.int64)
        (seen,) = engine.run([Row(slot, block, count, "block", np.arange(len(block)), keep=False)])
        close_to(seen.logits, stored[f"{prefix}_block"])
        engine.free(slot)
        compared += 1
    assert compared == 3


def test_case(case: dict[str, Any], vlm_kit: Path, bundle_named: Callable[[str], Path]) -> None:
    engine, encoder = encoder_for(bundle_named(case["checkpoint"]))
    pictures = pictures_of(vlm_kit, case, encoder)
    check = quadratic.check_case if case["mode"] == "quadratic" else decoding.check_case
    check(engine, case, pictures)


@pytest.mark.parametrize("chunk", [256, 5])
def test_all_cases_at_once_give_the_same_ids(
    checkpoint: str, chunk: int, vlm_kit: Path, bundle_named: Callable[[str], Path]
) -> None:
    """In one scheduler, whatever shares a call with them, and wherever a chunk of a prompt ends in a picture."""
    cases = [case for case in load_cases(vlm_kit) if case["checkpoint"] == checkpoint]
    config = ServerConfig(bundle=bundle_named(checkpoint), threads=1, max_slots=8, max_queue=99, prefill_chunk=chunk)
    runtime = Runtime.open(config)
    found = answered_together(runtime, vlm_kit, cases, seconds=240)
    for case in cases:
        right = expected_of(case)
        assert found[case["id"]][: len(right)] == right, case["id"]
