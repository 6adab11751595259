"""What an ONNX Runtime engine does with NaN: the row says so, nothing of it is stored, and the other rows are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.engines.base import Ints, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from tests.support.spoiled import spoil

BAD = 11
NONE = np.zeros(0, dtype=np.int64)
GOOD = np.array([5, 17, 23, 42, 7, 91], dtype=np.int64)


@pytest.fixture(params=["float32", "int8", "int4"])
def engine(
    request: pytest.FixtureRequest, parity_kit: Path, bundle_of: Callable[..., Path], tmp_path: Path
) -> OnnxRuntimeEngine:
    checkpoint = parity_kit / "checkpoints" / "plain"
    bundle = spoil(bundle_of(checkpoint, request.param), checkpoint, tmp_path / "spoiled", BAD)
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=2)


def with_bad(at: int) -> Ints:
    ids = GOOD.copy()
    ids[at] = BAD
    return ids


def last(ids: Ints) -> Ints:
    return np.array([len(ids) - 1], dtype=np.int64)


@pytest.mark.parametrize("at", [0, 3, 5])
@pytest.mark.parametrize("sees", ["causal", "block"])
def test_a_pass_over_a_spoiled_token_says_so(engine: OnnxRuntimeEngine, at: int, sees: str) -> None:
    slot = engine.allocate(block=False)
    ids = with_bad(at)
    (result,) = engine.run([Row(slot, ids, 0, sees, last(ids), keep=False)])  # type: ignore[arg-type]
    assert not result.finite


@pytest.mark.parametrize("want", ["none", "last"])
def test_nothing_of_it_is_stored_so_the_lane_stays_clean(engine: OnnxRuntimeEngine, want: str) -> None:
    slot = engine.allocate(block=False)
    clean = engine.run([Row(slot, GOOD, 0, "causal", last(GOOD), keep=True)])[0].logits.copy()
    engine.free(slot)
    slot = engine.allocate(block=False)
    ids = with_bad(5)
    (result,) = engine.run([Row(slot, ids, 0, "causal", last(ids) if want == "last" else NONE, keep=True)])
    assert not result.finite
    assert all(np.isfinite(array).all() for array in engine._slots._arrays.values())
    engine.free(slot)
    slot = engine.allocate(block=False)
    (again,) = engine.run([Row(slot, GOOD, 0, "causal", last(GOOD), keep=True)])
    assert again.finite
    np.testing.assert_array_equal(again.logits, clean)


def test_a_row_of_the_same_call_is_not_harmed(engine: OnnxRuntimeEngine) -> None:
    good, bad = engine.allocate(block=False), engine.allocate(block=False)
    alone = engine.run([Row(good, GOOD, 0, "causal", last(GOOD), keep=False)])[0].logits.copy()
    ids = with_bad(0)
    rows = [Row(good, GOOD, 0, "causal", last(GOOD), keep=True), Row(bad, ids, 0, "causal", last(ids), keep=True)]
    first, second = engine.run(rows)
    assert first.finite and not second.finite
    np.testing.assert_allclose(first.logits, alone, rtol=1e-5, atol=1e-5)
    assert engine.copy_out(good, 0, len(GOOD)).any()
    assert not engine.copy_out(bad, 0, len(GOOD)).any()


def test_a_sum_too_large_for_its_type_is_no_damage(engine: OnnxRuntimeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = engine.allocate(block=False)
    call = engine._call

    def large(binding: object, batch: int, seq: int) -> None:
        call(binding, batch, seq)  # type: ignore[arg-type]
        binding.new[:] = np.float32(3e38)  # type: ignore[attr-defined]

    monkeypatch.setattr(engine, "_call", large)
    (result,) = engine.run([Row(slot, GOOD, 0, "causal", NONE, keep=True)])
    assert result.finite
