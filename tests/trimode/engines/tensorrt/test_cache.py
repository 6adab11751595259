"""Where a slot lies in the cache, and that its entries go with it. Over a fake of TensorRT and CUDA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from trimode.engines.tensorrt.engine import TensorRtEngine

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle, open_engine
from tests.support.tensorrt_passes import step


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
