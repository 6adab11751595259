"""What the torch engine refuses, keeps lazy, counts and clears; in every precision."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trimode.bundle.manifest import MANIFEST
from trimode.engines.base import Row, RowResult
from trimode.engines.registry import open_engine, warm_up
from trimode.engines.torch.cache import Cache
from trimode.engines.torch.call import Call
from trimode.engines.torch.device import Device
from trimode.engines.torch.engine import TorchEngine
from trimode.engines.torch.executor import MAX_CALLS, Executor
from trimode.engines.torch.windows import Shape
from trimode.errors import BundleError, DeviceLostError, EngineError

from tests.support import checkpoints as factory
from tests.torch.conftest import Linked, Opened

ONE = np.zeros(1, dtype=np.int64)
NONE = np.zeros(0, dtype=np.int64)


class Options:
    threads, spin, max_slots, device = 1, False, 2, 0


def step(engine: TorchEngine, slot: int, start: int = 0, token: int = 5, **more: Any) -> RowResult:
    return engine.run([Row(slot, np.array([token]), start, "causal", ONE, keep=True, **more)])[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "fp8"])
def test_every_precision_gives_nearly_the_same_logits(precision: str, opened: Opened) -> None:
    exact, engine = opened("plain"), opened("plain", precision)
    warm_up(engine)
    slots = [one.allocate(block=True) for one in (exact, engine)]
    prompt = np.array([60, 7, 7, 91, 12, 3, 5, 17])
    expected, found = (
        one.run([Row(slot, prompt, 0, "causal", np.arange(8), keep=True)])[0].logits
        for one, slot in zip((exact, engine), slots, strict=True)
    )
    assert found.dtype == np.float32
    far = np.sqrt(((found - expected) ** 2).mean()) / np.sqrt((expected**2).mean())
    assert far <= {"float32": 0.0, "bfloat16": 0.05, "float16": 0.01, "fp8": 0.15}[precision]


def test_logits_stay_until_they_are_read_and_are_gone_after_the_next_run(opened: Opened) -> None:
    engine = opened("plain")
    slot = engine.allocate(block=False)
    device = engine.device
    before = device.downloads, device.waits
    first = step(engine, slot)
    assert first.finite and first.best(0) >= 0 and first.top_prob[0] > 0
    assert (device.downloads, device.waits) == (before[0] + 1, before[1] + 1)
    logits = first.logits
    assert (device.downloads, device.waits) == (before[0] + 2, before[1] + 2)
    assert logits is first.logits and logits.argmax() in (first.best(0), engine.manifest.mask_token_id)
    second = step(engine, slot, 1)
    step(engine, slot, 2)
    for late in (lambda: second.logits, lambda: second.log_prob_of(0, (second.best(0) + 1) % 8)):
        with pytest.raises(EngineError, match=r"the logits of run \d+ are gone: \d+ runs have begun"):
            late()
    assert second.log_prob_of(0, second.best(0)) < 0, "of the chosen token it is here"


def test_rows_of_one_call_do_not_influence_each_other(opened: Opened) -> None:
    engine = opened("plain")
    slots = [engine.allocate(block=False) for _ in range(3)]
    rows = [Row(slot, np.arange(101, 106 + slot), 0, "causal", np.arange(5 + slot), keep=True) for slot in slots]
    together = [(one.top_id, one.logits) for one in engine.run(rows)]
    for row, (ids, logits) in zip(rows, together, strict=True):
        alone = engine.run([row])[0]
        np.testing.assert_array_equal(alone.top_id, ids)
        np.testing.assert_allclose(alone.logits, logits, atol=1e-4)


def test_what_is_not_finite_is_noticed_and_its_lane_cleared(opened: Opened) -> None:
    engine = opened("plain")
    with torch.inference_mode():
        engine._executor._network._weights.embedding[11] = torch.nan
    good, bad = engine.allocate(block=False), engine.allocate(block=False)
    rows = [Row(slot, np.array([token]), 0, "causal", ONE, keep=True) for slot, token in ((good, 7), (bad, 11))]
    alone = step(engine, good, 0, 7).logits
    first, second = engine.run(rows)
    assert first.finite and not second.finite
    np.testing.assert_allclose(first.logits, alone, atol=1e-5)
    with pytest.raises(EngineError, match="not finite"):
        engine.copy_out(bad, 0, 1)
    engine.free(bad)
    engine.run([Row(good, np.array([7, 11, 7]), 0, "causal", NONE, keep=True)])
    engine.free(good)
    assert bool(torch.isfinite(engine._cache.data).all())


def test_refusals_name_the_limit(opened: Opened, linked: Linked, tmp_path: Path) -> None:
    engine = opened("plain", max_slots=1)
    slot = engine.allocate(block=False)
    with pytest.raises(EngineError, match="all 1 slots are taken"):
        engine.allocate(block=False)
    far = Row(slot, np.array([5]), 0, "causal", ONE, keep=True, positions=np.array([9999]))
    with pytest.raises(EngineError, match="positions: expected below 576, got 9999"):
        engine.run([far])
    capacity = engine.manifest.capacity
    with pytest.raises(EngineError, match=f"a sequence of {capacity + 1} tokens exceeds the engine's capacity"):
        engine.copy_in(slot, capacity, engine.copy_out(slot, 0, 1))
    bundle = linked(factory.write(tmp_path / "some"), "float32")
    raw = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**raw, "precision": "int4"}))
    with pytest.raises(BundleError, match="precision: expected one of bfloat16, float16, float32, fp8, got 'int4'"):
        TorchEngine.open(bundle, threads=1, spin=False, max_slots=1)


def test_an_error_of_torch_is_the_engines(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened("plain")
    slot = engine.allocate(block=False)

    def failing(*_: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(engine._executor, "execute", failing)
    with pytest.raises(EngineError, match=r"PyTorch failed on 1 rows of .* CUDA error: out of memory"):
        step(engine, slot)
    assert engine._cache.doubts(slot)


def test_shapes_outside_the_list_are_forgotten_in_turn(opened: Opened) -> None:
    engine = opened("plain")
    executor: Executor = engine._executor
    for length in range(MAX_CALLS + 9):
        executor.call(Shape(0, 1, 1, 1, 256 + length))
    assert len(executor._others) == MAX_CALLS
    call = executor.call(Shape(0, 2, 8, 8, 256))
    assert isinstance(call, Call) and executor.call(Shape(0, 2, 8, 8, 256)) is call


def test_a_cache_keeps_what_moves(opened: Opened) -> None:
    engine = opened("plain")
    cache: Cache = engine._cache
    slot = engine.allocate(block=False)
    step(engine, slot, 0, 7)
    held = engine.copy_out(slot, 0, 1)
    lane = cache.lane(slot)
    engine.place(slot, block=True)
    assert cache.lane(slot) != lane
    np.testing.assert_array_equal(engine.copy_out(slot, 0, 1), held)


def test_a_device_counts_what_leaves_it() -> None:
    device = Device.open(0)
    with device.active():
        found = device.fetch(device.send(np.arange(6, dtype=np.float32).reshape(2, 3)))
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, 5]])
    assert (device.downloads, device.downloaded_bytes, device.waits) == (1, 24, 1)


def test_all_memory_is_allocated_where_passes_are_captured(
    linked: Linked, parity_kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros that another stream writes may come after what a pass wrote."""
    zeros, active = Device.zeros, []

    def noted(device: Device, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        active.append(torch.is_inference_mode_enabled())
        return zeros(device, shape, dtype)

    monkeypatch.setattr(Device, "zeros", noted)
    TorchEngine.open(linked(parity_kit / "checkpoints" / "plain"), threads=1, spin=False, max_slots=1)
    assert active == [True, True], "the cache and the logits"


@pytest.mark.parametrize(("threads", "expected"), [(0, len(os.sched_getaffinity(0))), (3, 3)])
def test_threads_are_those_asked_for_or_one_for_each_core_of_the_process(
    threads: int, expected: int, linked: Linked, parity_kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    TorchEngine.open(linked(parity_kit / "checkpoints" / "plain"), threads=threads, spin=False, max_slots=1)
    assert asked == [expected]


def test_a_row_that_starts_before_entries_in_doubt_does_not_show_them(opened: Opened) -> None:
    engine = opened("plain")
    with torch.inference_mode():
        engine._executor._network._weights.embedding[11] = torch.nan
    slot = engine.allocate(block=False)
    engine.run([Row(slot, np.array([7, 7, 11]), 0, "causal", NONE, keep=True)])
    step(engine, slot, 1, 7)
    assert engine._cache.doubts(slot)
    engine.free(slot)
    assert bool(torch.isfinite(engine._cache.data).all())


def test_without_cuda_a_gpu_that_was_asked_for_is_missed(
    linked: Linked, parity_kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bundle = linked(parity_kit / "checkpoints" / "plain")
    with pytest.raises(BundleError, match=r"device: GPU 1 was asked for, and PyTorch sees none: it (was|finds)"):
        open_engine(bundle, Options(), gpu=1)
    assert isinstance(open_engine(bundle, Options()), TorchEngine)


def test_the_registry_opens_it(linked: Linked, parity_kit: Path) -> None:
    engine = open_engine(linked(parity_kit / "checkpoints" / "plain"), Options())
    assert isinstance(engine, TorchEngine)
    assert engine.capacity == 256


ASYNCHRONOUS = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call."
)


def coded(words: str, code: int) -> RuntimeError:
    """An error as PyTorch raises it, with CUDA's code."""
    error = torch.AcceleratorError(words)
    error.error_code = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("raised", "lost"),
    [
        (RuntimeError(ASYNCHRONOUS), True),
        (torch.AcceleratorError(ASYNCHRONOUS), True),
        (coded("CUDA error: words of another version", 719), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (coded("CUDA error: out of memory", 2), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
    ids=str,
)
def test_errors_of_cuda_that_lose_the_gpu_are_known(
    raised: RuntimeError, lost: bool, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened("plain")
    slot = engine.allocate(block=False)
    expected = step(engine, slot).best(0)

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(Executor, "execute", fail)
    with pytest.raises(EngineError) as found:
        step(engine, slot)
    assert isinstance(found.value, DeviceLostError) is lost
    assert str(raised) in str(found.value)
    monkeypatch.setattr(Cache, "free", fail)
    with pytest.raises(DeviceLostError if lost else RuntimeError):
        engine.free(slot)
    monkeypatch.undo()
    assert step(engine, slot).best(0) == expected
