"""What is copied between host and GPU for a pass, and until when its logits can be read. Over fakes of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trimode.engines.base import Row, RowResult
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import EngineError

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import open_engine
from tests.support.tensorrt_passes import block, step

VOCAB = 50


def test_only_choices_come_back_until_logits_are_looked_at(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=True)
    for _ in range(3):
        result = block(engine, slot)
    # Each aligned to 256: ids, positions, rows and write index, a mask of 8 x 64; then 8 int64 and 8 float32.
    assert gpu.copied == [("HostToDevice", 4 * 256 + 512), ("DeviceToHost", 512)] * 3
    gpu.copied.clear()
    assert len(result.top_id) == len(result.top_prob) == 8
    assert gpu.copied == []
    assert result.logits.shape == (8, VOCAB)
    assert result.logits is result.logits
    assert gpu.copied == [("DeviceToHost", 8 * VOCAB * 4)]


def test_only_the_rows_asked_for_are_copied(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    result = block(engine, engine.allocate(block=True), want=3)
    gpu.copied.clear()
    assert result.logits.shape == (3, VOCAB)
    assert gpu.copied == [("DeviceToHost", 3 * VOCAB * 4)]


def test_a_pass_that_asks_for_nothing_copies_no_logits(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    result = block(engine, engine.allocate(block=True), want=0)
    gpu.copied.clear()
    assert result.logits.shape == (0, VOCAB)
    assert gpu.copied == []


def test_logits_of_a_run_of_several_calls_stay_on_the_gpu_too(gpu: FakeCuda, bundle: Path) -> None:
    wide = open_engine(bundle, max_slots=6)
    try:
        slots = [wide.allocate(block=True) for _ in range(6)]
        ids, asked = np.arange(8) + 5, np.arange(8)
        rows = [Row(slot, ids + slot, 0, "block", asked, keep=False) for slot in slots]
        gpu.copied.clear()
        results = wide.run(rows)
        assert wide.calls > 1
        logits = 8 * VOCAB * 4
        assert [size for kind, size in gpu.copied if kind == "DeviceToDevice"] == [
            logits
        ] * 4  # those of the last call are where they were
        assert max(size for kind, size in gpu.copied if kind == "DeviceToHost") < logits
        kept = [result.logits.copy() for result in results[:-1]]
        for row, found in zip(rows[:-1], kept, strict=True):
            np.testing.assert_allclose(wide.run([row])[0].logits, found, rtol=1e-5, atol=1e-5)
        with pytest.raises(EngineError, match="the logits of run 1 are gone"):
            _ = results[-1].logits
    finally:
        wide.close()
    assert gpu.leaked == []


def test_logits_of_a_call_before_the_last_one_are_refused(engine: TensorRtEngine) -> None:
    slot = engine.allocate(block=False)
    seen, unseen = step(engine, slot), step(engine, slot, 1)
    step(engine, slot, 2)
    with pytest.raises(EngineError, match="the logits of call 2 are gone: 3 calls have run"):
        _ = unseen.logits
    assert (unseen.top_id.shape, seen.top_prob.shape) == ((1,), (1,))


def test_choices_are_those_of_the_logits(engine: TensorRtEngine) -> None:
    result = block(engine, engine.allocate(block=True))
    plain = RowResult(result.logits.copy(), engine.manifest.mask_token_id)
    np.testing.assert_array_equal(result.top_id, plain.top_id)
    np.testing.assert_allclose(result.top_prob, plain.top_prob, atol=1e-6)
    assert [result.best(at) for at in range(8)] == plain.top_id.tolist()
    np.testing.assert_allclose(result.prob_of(result.top_id), result.top_prob, atol=1e-6)
    assert result.top_id[0] not in result.without([int(result.top_id[0])]).top_id
