"""Which calls become CUDA graphs, how often each is bound, and when a graph goes. Over a fake of TensorRT and CUDA."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda.bindings import runtime as cudart
from trimode.engines.base import Row
from trimode.engines.tensorrt import executor as executor_module
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import DeviceLostError

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import ICudaEngine, IExecutionContext
from tests.support.tensorrt_passes import block, step

ILLEGAL = int(cudart.cudaError_t.cudaErrorIllegalAddress)
INVALID = int(cudart.cudaError_t.cudaErrorInvalidValue)
INVALIDATED = int(cudart.cudaError_t.cudaErrorStreamCaptureInvalidated)


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


def test_a_shape_that_cannot_be_captured_runs_without_a_graph_and_others_have_theirs(
    engine: TensorRtEngine, gpu: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.failing["cudaStreamEndCapture"] = INVALIDATED
    slot = engine.allocate(block=False)
    with caplog.at_level(logging.WARNING):
        ids = [step(engine, slot, at).best(0) for at in range(5)]
    said = "calls of one shape run without a CUDA graph until use 32: cudaStreamEndCapture failed"
    assert caplog.text.count(said) == 1
    assert gpu.calls["cudaGraphLaunch"] == 0
    gpu.failing.clear()
    assert [step(engine, slot, at).best(0) for at in range(5)] == ids
    assert gpu.calls["cudaGraphLaunch"] == 0
    for _ in range(3):
        block(engine, slot, start=5)
    assert gpu.calls["cudaGraphLaunch"] == 1


def test_a_capture_that_failed_once_is_tried_again_and_succeeds(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    first, second, _ = executor_module.CAPTURED_AT
    slot = engine.allocate(block=False)
    gpu.failing["cudaStreamEndCapture"] = INVALIDATED
    ids = [step(engine, slot).best(0) for _ in range(first)]
    gpu.failing.clear()
    ids += [step(engine, slot).best(0) for _ in range(second - first)]
    assert gpu.calls["cudaGraphLaunch"] == 0
    ids += [step(engine, slot).best(0) for _ in range(3)]
    assert gpu.calls["cudaGraphLaunch"] == 3
    assert len(set(ids)) == 1


def test_captures_of_one_shape_are_tried_so_often_and_no_more_and_those_of_others_still(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor_module, "CAPTURED_AT", (2, 4, 6))
    gpu.failing["cudaStreamEndCapture"] = INVALIDATED
    slot = engine.allocate(block=False)
    with caplog.at_level(logging.WARNING):
        for start in (0, 70, 140):
            for _ in range(10):
                step(engine, slot, start)
    assert caplog.text.count("calls of one shape run without a CUDA graph until use") == 6
    assert caplog.text.count("calls of one shape run without a CUDA graph from now on") == 3
    assert gpu.calls["cudaStreamBeginCapture"] == 9
    gpu.failing.clear()
    for _ in range(3):
        block(engine, slot)
    assert gpu.calls["cudaGraphLaunch"] == 1


def test_a_capture_that_loses_the_gpu_is_no_failed_capture(engine: TensorRtEngine, gpu: FakeCuda) -> None:
    slot = engine.allocate(block=False)
    step(engine, slot)
    gpu.failing["cudaGraphInstantiate"] = ILLEGAL
    with pytest.raises(DeviceLostError, match="cudaGraphInstantiate failed with cudaErrorIllegalAddress"):
        step(engine, slot, 1)


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


def test_where_no_context_finds_room_shapes_run_without_graphs(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slot = engine.allocate(block=False)
    first = step(engine, slot).best(0)
    monkeypatch.setattr(ICudaEngine, "create_execution_context", lambda self, config: None)
    with caplog.at_level(logging.WARNING):
        assert [step(engine, slot).best(0) for _ in range(4)] == [first] * 4
    assert caplog.text.count("calls of one shape run without a CUDA graph") == 1
    assert "cudaGraphLaunch" not in gpu.calls


@pytest.mark.parametrize("name", ["cudaGraphInstantiate", "cudaStreamBeginCapture", "cudaGraphDestroy"])
def test_a_capture_that_fails_leaves_the_engine_usable(engine: TensorRtEngine, gpu: FakeCuda, name: str) -> None:
    gpu.failing[name] = INVALID
    slot = engine.allocate(block=False)
    ids = [step(engine, slot, at).best(0) for at in range(4)]
    gpu.failing.clear()
    assert [step(engine, slot, at).best(0) for at in range(4)] == ids
