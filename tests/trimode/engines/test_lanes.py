"""Which lane of a device's cache a slot has, and when a lane is moved or cleared."""

from __future__ import annotations

import pytest
from trimode.engines.lanes import Lanes
from trimode.errors import EngineError


class Noting(Lanes):
    """Notes what would be done to memory."""

    def __init__(self, lanes: int) -> None:
        super().__init__(lanes)
        self.done: list[tuple[int, ...]] = []

    def _move(self, lane: int, there: int, held: int) -> None:
        self.done.append((lane, there, held))

    def _clear(self, lane: int) -> None:
        self.done.append((lane,))


def test_single_tokens_come_from_the_bottom_and_blocks_from_the_top() -> None:
    lanes = Noting(4)
    slots = [lanes.allocate(block=block) for block in (False, True, False, True)]
    assert [lanes.lane(slot) for slot in slots] == [0, 3, 1, 2]
    with pytest.raises(EngineError, match="all 4 slots are taken"):
        lanes.allocate(block=False)
    lanes.free(slots[0])
    assert lanes.lane(lanes.allocate(block=True)) == 0
    assert lanes.done == []


def test_a_slot_moves_with_what_it_holds_if_there_is_a_lane_nearer_to_its_side() -> None:
    lanes = Noting(3)
    slot = lanes.allocate(block=False)
    lanes.hold(slot, 7)
    lanes.place(slot, block=True)
    assert (lanes.lane(slot), lanes.held_at(2), lanes.held_at(0), lanes.longest) == (2, 7, 0, 7)
    lanes.place(slot, block=True)
    other = lanes.allocate(block=False)
    lanes.place(other, block=True)
    assert lanes.lane(other) == 1
    assert lanes.done == [(0, 2, 7)], "the other one holds nothing"


def test_a_lane_in_doubt_stays_and_is_cleared_when_it_is_given_back() -> None:
    lanes = Noting(2)
    slot = lanes.allocate(block=False)
    lanes.doubt(slot)
    lanes.place(slot, block=True)
    assert lanes.lane(slot) == 0 and lanes.doubts(slot)
    lanes.free(slot)
    assert lanes.done == [(0,)]
    again = lanes.allocate(block=False)
    lanes.doubt(again)
    lanes.trust(again)
    lanes.free(again)
    assert lanes.done == [(0,)]
