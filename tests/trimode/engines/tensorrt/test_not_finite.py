"""What the TensorRT engine does with NaN, which its passes write into the cache in place. Over fakes of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.manifest import MANIFEST, PLAN
from trimode.engines.base import Row
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import EngineError

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle
from tests.support.spoiled import spoil
from tests.support.tensorrt_passes import step

BAD, GOOD = 11, 7
NONE = np.zeros(0, dtype=np.int64)


@pytest.fixture(params=["float32", "float16"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bundle whose plan runs a graph in which one token's embedding is NaN."""
    checkpoint = factory.write(tmp_path / "checkpoint")
    folder = make_bundle(checkpoint, tmp_path, precision=request.param)
    graph = tmp_path / "graph"
    kind = np.dtype(request.param)
    spoil(graph, checkpoint, tmp_path / "spoiled", BAD, kind)
    plan = json.loads((folder / PLAN).read_text())
    plan["graph"] = plan["graph"].replace(str(graph), str(tmp_path / "spoiled"))
    (folder / PLAN).write_text(json.dumps(plan))
    raw = json.loads((folder / MANIFEST).read_text())
    raw["files"][PLAN] = (folder / PLAN).stat().st_size
    (folder / MANIFEST).write_text(json.dumps(raw))
    return folder


def lanes(engine: TensorRtEngine, gpu: FakeCuda) -> bool:
    """Whether all of the cache is finite."""
    engine._cuda.wait()
    cache = engine._cache
    whole = gpu.view(cache.address(0, 0), 4 * cache.lanes * cache.lane_bytes)
    kind = np.float32 if engine._plan.cache_bytes == 4 else np.float16
    return bool(np.isfinite(whole.view(kind)).all())


def test_a_spoiled_token_is_noticed_and_its_lane_is_cleared(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    clean = step(engine, slot, 0, GOOD)
    assert clean.finite
    first = clean.best(0)
    assert not step(engine, slot, 1, BAD).finite
    assert not lanes(engine, gpu), "the fake writes in place, as TensorRT does"
    engine.free(slot)
    assert lanes(engine, gpu)
    slot = engine.allocate(block=False)
    again = step(engine, slot, 0, GOOD)
    assert again.finite and again.best(0) == first


def test_a_block_that_is_not_kept_leaves_nothing_either(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=True)
    ids = np.full(8, 3)
    ids[4] = BAD
    assert not engine.run([Row(slot, ids, 0, "block", np.arange(8), keep=False)])[0].finite
    engine.free(slot)
    assert lanes(engine, gpu)


def test_a_chunk_without_logits_is_doubted_until_the_next_ones_show_it(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    engine.run([Row(slot, np.array([GOOD, BAD, GOOD]), 0, "causal", NONE, keep=True)])
    with pytest.raises(EngineError, match="not finite"):
        engine.copy_out(slot, 0, 3)
    engine.free(slot)
    assert lanes(engine, gpu)
    slot = engine.allocate(block=False)
    engine.run([Row(slot, np.array([GOOD, GOOD]), 0, "causal", NONE, keep=True)])
    assert engine.copy_out(slot, 0, 2).any(), "numbers are given out, although no logits have shown them yet"
    assert step(engine, slot, 2, GOOD).finite
    gpu.calls.clear()
    engine.free(slot)
    assert gpu.calls["cudaMemsetAsync"] == 0, "what was shown to be finite costs nothing to give back"


def test_a_row_of_the_same_call_is_not_harmed(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    good, bad = engine.allocate(block=False), engine.allocate(block=False)
    one = np.zeros(1, np.int64)
    alone = step(engine, good, 0, GOOD).logits.copy()
    rows = [Row(slot, np.array([token]), 0, "causal", one, keep=True) for slot, token in ((good, GOOD), (bad, BAD))]
    first, second = engine.run(rows)
    assert first.finite and not second.finite
    np.testing.assert_allclose(first.logits, alone, rtol=1e-3, atol=1e-3)


def test_a_call_that_fails_leaves_its_slots_in_doubt(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = engine.allocate(block=False)
    step(engine, slot, 0, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(engine._executor, "execute", lambda call: (_ for _ in ()).throw(EngineError("refused")))
        with pytest.raises(EngineError, match="refused"):
            step(engine, slot, 1, GOOD)
    gpu.calls.clear()
    engine.free(slot)
    assert gpu.calls["cudaMemsetAsync"] > 0
