"""What the engine on the CPU says that it needs, and how many slots `auto` makes of a machine's memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trimode.config import ServerConfig
from trimode.engines import slot_memory
from trimode.engines.base import Row
from trimode.engines.onnx import memory
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.registry import open_engine
from trimode.errors import BundleError
from trimode.runtime import Runtime

from tests.support import checkpoints as factory
from tests.support.onnx_bundles import build


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    build(factory.write(folder / "checkpoint"), folder / "bundle")
    return folder / "bundle"


def having(monkeypatch: pytest.MonkeyPatch, bundle: Path, slots: float) -> None:
    """Let the machine have memory for so many slots."""
    with_one = open_engine(bundle, ServerConfig(max_slots=1))
    each, once = memory.need(with_one.manifest)
    free = once + int(slots * each)
    monkeypatch.setattr(slot_memory, "host_memory", lambda: (free, 2 * free))


def test_a_slot_takes_an_array_of_each_bucket_and_a_copy(bundle: Path) -> None:
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
    for bucket in engine.manifest.buckets:
        engine._slots._array(bucket)
    arrays = sum(array.nbytes for array in engine._slots._arrays.values())
    assert arrays == memory.slot_bytes(engine.manifest)
    assert engine._slots._arrays[engine.manifest.capacity].nbytes == memory.copy_bytes(engine.manifest)


def test_results_of_a_call_are_no_larger_than_said(bundle: Path) -> None:
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=3)
    rows = []
    for _ in range(3):
        ids = np.ones(20, np.int64)
        rows.append(Row(engine.allocate(block=True), ids, 0, "causal", np.arange(20), keep=True))
    engine.run(rows)
    assert engine._logits.size + engine._new.size <= memory.result_bytes(engine.manifest, 60)


@pytest.mark.parametrize(("room", "slots"), [(1.5, 1), (7.2, 7), (1000, slot_memory.MOST)])
def test_auto_opens_as_many_as_fit(monkeypatch: pytest.MonkeyPatch, bundle: Path, room: float, slots: int) -> None:
    having(monkeypatch, bundle, room)
    runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots="auto"))
    try:
        assert (runtime.engine.slots, runtime.slots, runtime.stats().slots) == (slots, slots, slots)
        taken = [runtime.engine.allocate(block=False) for _ in range(slots)]
        assert len(set(taken)) == slots
    finally:
        runtime.close()


def test_not_even_one_slot(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    having(monkeypatch, bundle, 0.9)
    words = r"memory: max_slots auto needs .* Not even one slot fits: free memory, or build with a smaller capacity"
    with pytest.raises(BundleError, match=words):
        open_engine(bundle, ServerConfig(max_slots="auto"))
    assert open_engine(bundle, ServerConfig(max_slots=3)).slots == 3
