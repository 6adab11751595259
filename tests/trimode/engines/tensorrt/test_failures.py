"""What CUDA or TensorRT refuses is an error that says which and why, and everything is released in order.

Over a fake of TensorRT and CUDA.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from cuda.bindings import runtime as cudart
from trimode.engines.registry import warm_up
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import DeviceLostError, EngineError

from tests.support.fake_cuda import FUNCTIONS, FakeCuda
from tests.support.fake_gpu import install, open_engine
from tests.support.fake_tensorrt import IExecutionContext
from tests.support.tensorrt_passes import step

ILLEGAL = int(cudart.cudaError_t.cudaErrorIllegalAddress)
INVALID = int(cudart.cudaError_t.cudaErrorInvalidValue)


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
    gpu.failing[name] = INVALID
    with pytest.raises(
        EngineError, match=rf"{name} failed with cudaErrorInvalidValue \(1\): invalid argument"
    ) as found:
        step(engine, slot, 3)
    assert not isinstance(found.value, DeviceLostError)
    gpu.failing[name] = ILLEGAL
    with pytest.raises(
        DeviceLostError, match=rf"{name} failed with cudaErrorIllegalAddress \(700\): .*_ILLEGAL_ADDRESS"
    ):
        step(engine, slot, 3)


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


def test_a_pass_that_tensorrt_refuses_on_a_lost_gpu_says_that_it_is_lost(
    engine: TensorRtEngine, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT says what it likes: the code comes from CUDA, which repeats it at every call."""
    slot = engine.allocate(block=False)
    step(engine, slot)
    monkeypatch.setattr(IExecutionContext, "execute_async_v3", lambda self, *_: self._refuse("no such luck"))
    gpu.failing["cudaStreamSynchronize"] = ILLEGAL
    with pytest.raises(DeviceLostError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        step(engine, slot, 1)


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
