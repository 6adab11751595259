"""Slots: what live sequences wrote stays theirs through any allocation, release, growth and move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.engines.onnx.slots import Slots
from trimode.errors import EngineError

from tests.support.arrays import Array

BUCKETS = (4, 8, 16)
LANES = 4
STEPS = st.lists(
    st.tuples(st.sampled_from(["allocate", "free", "write"]), st.integers(0, 99), st.integers(0, 16), st.booleans()),
    max_size=40,
)


def slots() -> Slots:
    return Slots(planes=2, heads=1, head_dim=2, buckets=BUCKETS, max_slots=LANES)


def content(slots: Slots, slot: int, length: int) -> Array:
    return slots.data[:, slots.lane(slot), :, :length].copy()


@given(STEPS)
def test_data_of_live_slots_survives_anything(steps: list[tuple[str, int, int, bool]]) -> None:
    slots_, live, stamp = slots(), dict[int, Array](), 0
    for action, pick, length, block in steps:
        chosen = sorted(live)[pick % len(live)] if live else None
        if action == "allocate" and len(live) < LANES:
            live[slots_.allocate(block=block)] = np.zeros((2, 1, 0, 2), dtype=np.float32)
        elif action == "free" and chosen is not None:
            del live[chosen]
            slots_.free(chosen)
        elif action == "write" and chosen is not None:
            start = min(pick % 17, live[chosen].shape[2], length)
            slots_.reserve(chosen, length)
            stamp += 1
            slots_.data[:, slots_.lane(chosen), :, start:length] = stamp
            kept = live[chosen]
            live[chosen] = np.concatenate([kept[:, :, :start], np.full((2, 1, length - start, 2), stamp)], axis=2)
        for slot, expected in live.items():
            assert (content(slots_, slot, expected.shape[2]) == expected).all()
        assert len({slots_.lane(slot) for slot in live}) == len(live)
        assert np.isfinite(slots_.data).all()


@given(STEPS)
def test_lanes_of_a_kind_are_neighbours(steps: list[tuple[str, int, int, bool]]) -> None:
    slots_, live = slots(), dict[int, bool]()
    for action, pick, _, block in steps:
        if action == "allocate" and len(live) < LANES:
            live[slots_.allocate(block=block)] = block
        elif action == "free" and live:
            slot = sorted(live)[pick % len(live)]
            del live[slot]
            slots_.free(slot)
        singles = sorted(slots_.lane(slot) for slot, block in live.items() if not block)
        blocks = sorted(slots_.lane(slot) for slot, block in live.items() if block)
        assert singles == list(range(len(singles)))
        assert blocks == list(range(LANES - len(blocks), LANES))


def test_when_all_are_taken_one_more_is_refused() -> None:
    full = slots()
    taken = [full.allocate(block=at % 2 == 0) for at in range(LANES)]
    with pytest.raises(EngineError, match="all 4 slots are taken"):
        full.allocate(block=False)
    full.free(taken[1])
    assert full.allocate(block=True) == taken[1]


@pytest.mark.parametrize(("length", "capacity"), [(0, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16)])
def test_the_smallest_bucket_that_fits_is_used(length: int, capacity: int) -> None:
    some = slots()
    some.reserve(some.allocate(block=False), length)
    assert some.capacity == capacity


def test_more_than_the_capacity_is_refused_and_changes_nothing() -> None:
    some = slots()
    slot = some.allocate(block=False)
    with pytest.raises(EngineError, match="17 tokens exceeds the engine's capacity of 16"):
        some.reserve(slot, 17)
    assert some.capacity == 4
    some.reserve(slot, 16)


def test_the_bucket_shrinks_when_the_longest_leaves() -> None:
    some = slots()
    short, long = some.allocate(block=False), some.allocate(block=True)
    some.reserve(short, 3)
    some.data[:, some.lane(short), :, :3] = 7
    some.reserve(long, 12)
    some.free(long)
    assert some.capacity == 4
    assert (content(some, short, 3) == 7).all()


def test_a_capacity_used_before_keeps_its_array() -> None:
    some = slots()
    first = some.data
    slot = some.allocate(block=False)
    some.reserve(slot, 9)
    some.free(slot)
    assert some.data is first
