"""What the TensorRT engine tells CUDA and TensorRT, seen from a fake of both: graphs, copies, memory, errors, release.

The fakes themselves hold that shapes come before addresses, that addresses are aligned, that a graph's context is left
alone, and that nothing is read before the stream was waited for. Nothing here was executed by TensorRT or on a GPU.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda.bindings import runtime as cudart
from trimode.engines.base import Row, RowResult
from trimode.engines.registry import warm_up
from trimode.engines.tensorrt import executor as executor_module
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import EngineError

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FUNCTIONS, FakeCuda
from tests.support.fake_gpu import install, make_bundle, open_engine
from tests.support.fake_tensorrt import ICudaEngine, IExecutionContext

VOCAB = 50
ILLEGAL = int(cudart.cudaError_t.cudaErrorIllegalAddress)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    return make_bundle(factory.write(folder / "checkpoint"), folder)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    return cuda


@pytest.fixture
def engine(gpu: FakeCuda, bundle: Path) -> Iterator[TensorRtEngine]:
    opened = open_engine(bundle)
    gpu.calls.clear()
    gpu.copied.clear()
    yield opened
    gpu.failing.clear()
    opened.close()
    assert gpu.leaked == []


def step(engine: TensorRtEngine, slot: int, start: int = 0, token: int = 5, **more: Any) -> RowResult:
    ids = np.array([token])
    return engine.run([Row(slot, ids, start, "causal", np.zeros(1, np.int64), keep=True, **more)])[0]


def block(engine: TensorRtEngine, slot: int, size: int = 8, start: int = 0, want: int = 8) -> RowResult:
    ids = np.full(size, 3)
    return engine.run([Row(slot, ids, start, "block", np.arange(want), keep=False)])[0]


# CUDA graphs


def test_a_call_that_recurs_is_captured_once_and_then_launched(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    ids = [step(engine, slot, at).best(0) for at in range(6)]
    assert (gpu.calls["cudaGraphInstantiate"], gpu.calls["cudaGraphLaunch"]) == (1, 4)
    again = [step(engine, slot, at).best(0) for at in range(6)]
    assert ids == again
    assert (gpu.calls["cudaGraphInstantiate"], gpu.calls["cudaGraphLaunch"]) == (1, 10)
    assert engine.calls == 12


def test_a_graph_is_of_profile_lane_rows_tokens_logits_and_length(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    one, two = engine.allocate(block=False), engine.allocate(block=False)

    def captures(run: Callable[[], Any]) -> int:
        before = gpu.calls["cudaGraphInstantiate"]
        for _ in range(4):
            run()
        return gpu.calls["cudaGraphInstantiate"] - before

    assert captures(lambda: step(engine, one)) == 1
    assert captures(lambda: step(engine, one, 9)) == 0  # the same bucket of 64 entries
    assert captures(lambda: step(engine, one, 70)) == 1  # the next one
    assert captures(lambda: step(engine, two)) == 1  # another lane
    assert captures(lambda: block(engine, two)) == 1
    assert captures(lambda: block(engine, two, 7, want=7)) == 0  # rounded up
    assert captures(lambda: block(engine, two, want=1)) == 1
    rows = [Row(slot, np.array([5]), 0, "causal", np.zeros(1, np.int64), True) for slot in (one, two)]
    assert captures(lambda: engine.run(rows)) == 1


def test_chunks_of_a_prompt_are_not_captured(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    for _ in range(4):
        engine.run([Row(slot, np.full(40, 5), 0, "causal", np.array([39]), keep=True)])
    assert gpu.calls["cudaGraphInstantiate"] == 0


def test_graphs_used_longest_ago_go_first_each_before_its_context(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "MAX_CALLS", 2)
    slots = [engine.allocate(block=False) for _ in range(3)]
    for slot in (0, 1):
        for at in range(3):
            step(engine, slots[slot], at)
    assert gpu.order == []
    step(engine, slots[0], 3)
    step(engine, slots[2])  # a third shape: the second slot's, not used since, is dropped
    gc.collect()
    assert gpu.order == ["graph", "context"]
    before = gpu.calls["cudaGraphLaunch"]
    step(engine, slots[0], 4)
    assert gpu.calls["cudaGraphLaunch"] == before + 1


def test_a_plan_that_cannot_be_captured_runs_without_graphs(
    engine: TensorRtEngine, gpu: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.failing["cudaStreamEndCapture"] = int(cudart.cudaError_t.cudaErrorStreamCaptureInvalidated)
    slot = engine.allocate(block=False)
    with caplog.at_level(logging.WARNING):
        ids = [step(engine, slot, at).best(0) for at in range(5)]
    assert caplog.text.count("calls run without CUDA graphs: cudaStreamEndCapture failed") == 1
    assert gpu.calls["cudaGraphLaunch"] == 0
    gpu.failing.clear()
    assert [step(engine, slot, at).best(0) for at in range(5)] == ids


# Copies and memory


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


def test_nothing_is_allocated_made_or_bound_once_shapes_recur(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = engine.allocate(block=False)
    for _ in range(2):
        step(engine, slot)
        block(engine, slot, start=1)
    gpu.calls.clear()
    monkeypatch.setattr(IExecutionContext, "set_input_shape", None)
    monkeypatch.setattr(ICudaEngine, "create_execution_context", None)
    for _ in range(5):
        step(engine, slot)
        block(engine, slot, start=1)
    assert dict(gpu.calls) == {"cudaGraphLaunch": 10, "cudaStreamSynchronize": 10}


def test_a_chunk_of_a_shape_that_was_the_last_is_not_bound_again(
    engine: TensorRtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = engine.allocate(block=False)
    chunk = Row(slot, np.full(40, 5), 0, "causal", np.array([39]), keep=True)
    first = engine.run([chunk])[0].best(0)
    monkeypatch.setattr(IExecutionContext, "set_input_shape", None)
    assert engine.run([chunk])[0].best(0) == first


def test_the_cache_starts_as_zeros_and_slots_are_aligned(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    cache = engine._cache
    size = 4 * cache.lanes * cache.lane_bytes
    assert not gpu.view(cache.address(0, 0), size).any()
    assert all(cache.address(plane, lane) % 256 == 0 for plane in range(4) for lane in range(4))


def test_a_slot_that_changes_sides_takes_its_entries_along(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    for at in range(5):
        step(engine, slot, at, 7 + at)
    before = engine.copy_out(slot, 0, 5)
    assert before.any()
    assert engine._cache.lane(slot) == 0
    gpu.copied.clear()
    engine.place(slot, block=False)
    assert gpu.copied == []
    engine.place(slot, block=True)
    assert engine._cache.lane(slot) == 3
    np.testing.assert_array_equal(engine.copy_out(slot, 0, 5), before)
    assert [kind for kind, _ in gpu.copied] == ["DeviceToDevice", "DeviceToHost"]
    engine.place(slot, block=False)
    assert engine._cache.lane(slot) == 0


def test_a_slot_that_found_no_room_to_change_sides_does_so_later(engine: TensorRtEngine) -> None:
    slots = [engine.allocate(block=False) for _ in range(engine._cache.lanes)]
    lane = engine._cache.lane(slots[0])
    engine.place(slots[0], block=True)
    assert engine._cache.lane(slots[0]) == lane
    engine.free(slots[-1])
    engine.place(slots[0], block=True)
    assert engine._cache.lane(slots[0]) > lane


def test_entries_of_two_bytes_travel_whole(gpu: FakeCuda, tmp_path: Path) -> None:
    engine = open_engine(make_bundle(factory.write(tmp_path / "checkpoint"), tmp_path, precision="float16"))
    one, two = engine.allocate(block=False), engine.allocate(block=False)
    for at in range(4):
        step(engine, one, at, 7 + at)
    page = engine.copy_out(one, 0, 4)
    assert page.nbytes == 4 * 2 * 4 * 8 * 2  # planes, heads, entries, head_dim, bytes
    engine.copy_in(two, 0, page)
    np.testing.assert_array_equal(engine.copy_out(two, 0, 4).view(np.uint32), page.view(np.uint32))
    np.testing.assert_array_equal(step(engine, two, 4).logits.copy(), step(engine, one, 4).logits)
    engine.close()


def test_another_thread_runs_on_the_engines_device(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda(devices=2)
    install(monkeypatch, cuda)
    engine = open_engine(bundle, device=1)
    found: list[int] = []
    worker = threading.Thread(target=lambda: found.append(step(engine, engine.allocate(block=False)).best(0)))
    worker.start()
    worker.join()
    engine.close()
    assert len(found) == 1


def test_first_pass_is_finite(engine: TensorRtEngine) -> None:
    warm_up(engine)
    assert engine.busy_seconds > 0


# Errors and release


def failing_calls() -> Sequence[str]:
    return ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"]


@pytest.mark.parametrize("name", failing_calls())
def test_a_call_that_cuda_fails_says_which_and_why(engine: TensorRtEngine, gpu: FakeCuda, name: str) -> None:
    slot = engine.allocate(block=False)
    for at in range(3):
        step(engine, slot, at)
    if name == "cudaMemcpyAsync":
        engine.free(slot)
        slot = engine.allocate(block=True)
    gpu.failing[name] = ILLEGAL
    with pytest.raises(EngineError, match=rf"{name} failed with cudaErrorIllegalAddress \(700\): .*illegal memory"):
        step(engine, slot, 3)


def test_where_no_context_finds_room_shapes_run_without_graphs(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slot = engine.allocate(block=False)
    first = step(engine, slot).best(0)
    monkeypatch.setattr(ICudaEngine, "create_execution_context", lambda self, strategy: None)
    with caplog.at_level(logging.WARNING):
        assert [step(engine, slot).best(0) for _ in range(4)] == [first] * 4
    assert caplog.text.count("calls run without further CUDA graphs") == 1
    assert "cudaGraphLaunch" not in gpu.calls


@pytest.mark.parametrize("name", ["cudaGraphInstantiate", "cudaStreamBeginCapture", "cudaGraphDestroy"])
def test_a_capture_that_fails_leaves_the_engine_usable(engine: TensorRtEngine, gpu: FakeCuda, name: str) -> None:
    gpu.failing[name] = ILLEGAL
    slot = engine.allocate(block=False)
    ids = [step(engine, slot, at).best(0) for at in range(4)]
    gpu.failing.clear()
    assert [step(engine, slot, at).best(0) for at in range(4)] == ids


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("set_input_shape", "input_ids: TensorRT refuses the shape"),
        ("set_tensor_address", "input_ids: TensorRT refuses the address 0x7f"),
        ("execute_async_v3", "TensorRT did not take the pass"),
    ],
)
def test_what_tensorrt_refuses_is_an_error(
    engine: TensorRtEngine, monkeypatch: pytest.MonkeyPatch, method: str, words: str
) -> None:
    monkeypatch.setattr(IExecutionContext, method, lambda self, *_: self._refuse("no such luck"))
    slot = engine.allocate(block=False)
    with pytest.raises(EngineError, match=f"{words}.*: no such luck"):
        step(engine, slot)
    monkeypatch.undo()
    assert step(engine, slot).top_id.shape == (1,)


def test_shapes_that_are_missing_are_named(engine: TensorRtEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IExecutionContext, "infer_shapes", lambda self: ["attn_mask"])
    with pytest.raises(EngineError, match=r"lacks the shapes of \['attn_mask'\]"):
        step(engine, engine.allocate(block=False))


def test_no_slot_is_left(engine: TensorRtEngine) -> None:
    for _ in range(4):
        engine.allocate(block=False)
    with pytest.raises(EngineError, match="all 4 slots are taken"):
        engine.allocate(block=True)


def test_close_releases_in_order_and_only_once(gpu: FakeCuda, bundle: Path) -> None:
    engine = open_engine(bundle)
    slot = engine.allocate(block=False)
    for at in range(3):
        step(engine, slot, at)
    gpu.order.clear()
    engine.close()
    gc.collect()
    first = {name: gpu.order.index(name) for name in ("graph", "context", "engine", "memory", "stream")}
    assert list(first) == sorted(first, key=first.__getitem__)
    assert gpu.order.count("context") == 4  # of three profiles and one graph
    assert gpu.order.count("memory") == 6
    assert gpu.order[-1] == "stream"
    assert gpu.leaked == []
    engine.close()


def test_close_after_a_device_failed_does_not_raise(gpu: FakeCuda, bundle: Path) -> None:
    engine = open_engine(bundle)
    gpu.failing |= dict.fromkeys(FUNCTIONS, ILLEGAL)
    engine.close()
