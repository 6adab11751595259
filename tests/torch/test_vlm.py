"""Pictures through the torch engine and its tower in float32: the kit's rows, and every decoding case exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.torch import windows
from trimode.engines.torch.engine import TorchEngine
from trimode.engines.torch.network import Shown
from trimode.engines.torch.tower import TorchTower
from trimode.engines.torch.types import TYPES
from trimode.errors import BundleError
from trimode.vision.encoder import Encoder, open_encoder

from tests.conftest import vlm_kit_folder
from tests.parity import decoding, quadratic
from tests.parity.decoding import load_cases
from tests.parity.pictures import BUDGET, pictures_of, prepared, rows_in
from tests.torch.conftest import Linked

TOLERANCE = 2e-4  # of the largest stored value: the kit's own rule
CHECKPOINTS = ("plain", "yarn")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = load_cases(vlm_kit_folder(metafunc.config))
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


@pytest.fixture(scope="module")
def served(linked: Linked, vlm_kit: Path) -> dict[str, tuple[TorchEngine, Encoder]]:
    found = {}
    for name in CHECKPOINTS:
        bundle = linked(vlm_kit / "checkpoints" / name)
        encoder = open_encoder(bundle, Manifest.load(bundle), ServerConfig(threads=1), BUDGET)
        assert encoder is not None
        found[name] = (TorchEngine.open(bundle, threads=1, spin=False, max_slots=4), encoder)
    return found


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_rows(checkpoint: str, vlm_kit: Path, linked: Linked) -> None:
    stored = np.load(vlm_kit / "vision" / f"{checkpoint}.npz")
    names = sorted({key.partition("/")[0] for key in stored})
    tower = TorchTower.open(linked(vlm_kit / "checkpoints" / checkpoint), threads=1)
    for name, rows in zip(names, tower.encode([prepared(vlm_kit, name).pixels for name in names]), strict=True):
        expected = stored[f"{name}/features"]
        np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fewer_bits_stay_near(precision: str, vlm_kit: Path, linked: Linked) -> None:
    stored, name = np.load(vlm_kit / "vision" / "plain.npz"), "exact@1400"
    tower = TorchTower.open(linked(vlm_kit / "checkpoints" / "plain", precision), threads=1)
    assert precision in TYPES
    (rows,) = tower.encode([prepared(vlm_kit, name).pixels])
    expected = stored[f"{name}/features"]
    assert rows.dtype == np.float32
    assert np.abs(rows - expected).max() <= 0.05 * np.abs(expected).max()


def test_case(case: dict[str, Any], vlm_kit: Path, served: dict[str, tuple[TorchEngine, Encoder]]) -> None:
    engine, encoder = served[case["checkpoint"]]
    check = quadratic.check_case if case["mode"] == "quadratic" else decoding.check_case
    check(engine, case, pictures_of(vlm_kit, case, encoder))


def test_a_text_cut_into_passes_reads_the_same(
    vlm_kit: Path, served: dict[str, tuple[TorchEngine, Encoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, encoder = served["plain"]
    (case,) = (one for one in load_cases(vlm_kit) if one["id"] == "ar-03-plain")
    ids = np.array(case["prompt_ids"][0], dtype=np.int64)
    pictures = rows_in(vlm_kit, case["prompt_ids"][0], ["over@1400"], encoder)
    slot = engine.allocate(block=False)
    row = Row(slot, ids, 0, "causal", np.array([len(ids) - 1]), keep=True, features=pictures.within(0, len(ids)))
    expected = engine.run([row])[0].logits.copy()
    monkeypatch.setattr(windows, "LONGEST", 10)
    np.testing.assert_allclose(engine.run([row])[0].logits, expected, rtol=0, atol=1e-5)
    without = engine.run([row._replace(features=None)])[0].logits
    assert np.abs(without - expected).max() > 0.01
    engine.free(slot)


def test_a_pass_that_was_captured_reads_no_pictures(served: dict[str, tuple[TorchEngine, Encoder]]) -> None:
    """A captured pass repeats its own inputs, so one with pictures is another call of the same shape."""
    engine, _ = served["plain"]
    shape = windows.Shape(0, 1, 8, 1, 256)
    with engine.device.active():
        engine._executor.capture([shape])
    captured, other = engine._executor.call(shape), engine._executor.call(shape, fixed=False)
    assert captured.run is not None and other.run is None
    assert captured is not other and captured.shown is None
    assert Shown._fields == ("lines", "places", "rows")


def test_a_checkpoint_that_reads_text_alone_has_no_tower(parity_kit: Path, linked: Linked) -> None:
    with pytest.raises(BundleError, match="reads text alone"):
        TorchTower.open(linked(parity_kit / "checkpoints" / "plain"), threads=1)
