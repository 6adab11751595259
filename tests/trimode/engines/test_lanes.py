"""Which lane of a device's cache a slot has, and when a lane is moved or cleared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trimode.engines.base import Row
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


def row(slot: int, start: int, size: int, want: list[int], sees: Any = "causal", *, keep: bool = True) -> Row:
    return Row(slot, np.zeros(size, np.int64), start, sees, np.array(want, np.int64), keep)


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
    lanes.doubt(row(slot, 0, 1, [0]))
    lanes.place(slot, block=True)
    assert lanes.lane(slot) == 0 and lanes.doubts(slot)
    lanes.free(slot)
    assert lanes.done == [(0,)]
    again = lanes.allocate(block=False)
    lanes.passed(row(again, 0, 1, [0]), finite=True)
    lanes.free(again)
    assert lanes.done == [(0,)]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (row(0, 0, 4, [3]), True),
        (row(0, 0, 4, [0, 2]), False),
        (row(0, 0, 4, []), False),
        (row(0, 0, 4, [1], "block"), True),
        (row(0, 0, 4, [3], np.eye(4, dtype=bool)), False),
        (row(0, 4, 4, [1], "block", keep=False), True),
        (row(0, 3, 4, [1], "block", keep=False), False),
        (row(0, 3, 1, [0]), True),
        (row(0, 2, 1, [0]), False),
    ],
)
def test_a_slot_is_trusted_when_logits_saw_all_that_was_in_doubt(shown: Row, expected: bool) -> None:
    """Four entries are in doubt, which a pass without logits left."""
    lanes = Noting(1)
    lanes.doubt(row(lanes.allocate(block=False), 0, 4, []))
    lanes.passed(shown, finite=True)
    assert lanes.doubts(0) is not expected


@pytest.mark.parametrize("before", [False, True])
def test_a_pass_that_gave_no_numbers_leaves_its_slot_in_doubt(before: bool) -> None:
    lanes = Noting(1)
    slot = lanes.allocate(block=False)
    if before:
        lanes.doubt(row(slot, 0, 4, []))
    lanes.passed(row(slot, 0, 4, [3]), finite=False)
    assert lanes.doubts(slot) and lanes.held(slot) == 4
    lanes.passed(row(slot, 4, 1, [0]), finite=True)
    assert not lanes.doubts(slot) and lanes.held(slot) == 5


def test_entries_in_doubt_that_were_rolled_back_stay_in_doubt_until_they_are_written_again() -> None:
    lanes = Noting(1)
    lanes.doubt(row(lanes.allocate(block=False), 0, 4, []))
    for start, doubted in ((1, True), (2, True), (3, False), (1, False)):
        step = row(0, start, 1, [0])
        lanes.passed(step, finite=True)
        assert lanes.doubts(0) is doubted
