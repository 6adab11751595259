"""Which lanes a pass of the torch engine takes, and that it never writes where a later row looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.engines.base import Row
from trimode.engines.lanes import Lanes
from trimode.engines.torch.windows import LONGEST, MARGIN, Shape, Windows, pieces, rounded
from trimode.errors import EngineError

CAPACITY, LANES = 512, 6


def row(slot: int, size: int, start: int = 0, *, want: int = 1, keep: bool = True, sees: Any = "causal") -> Row:
    return Row(slot, np.zeros(size, np.int64), start, sees, np.arange(want), keep)


@st.composite
def passes(draw: st.DrawFn) -> tuple[Lanes, list[Row]]:
    lanes = Lanes(LANES)
    slots = [lanes.allocate(block=draw(st.booleans())) for _ in range(draw(st.integers(1, LANES)))]
    rows = []
    for slot in slots:
        lanes.hold(slot, held := draw(st.integers(0, CAPACITY)))
        start = draw(st.integers(max(0, held - 40), held))
        size, keep = draw(st.integers(1, 300)), draw(st.booleans())
        if draw(st.booleans()) and start + size <= CAPACITY:
            rows.append(row(slot, size, start, want=draw(st.integers(0, size)), keep=keep))
    return lanes, rows


@given(passes(), st.booleans())
def test_every_row_has_a_line_and_nothing_is_written_over(made: tuple[Lanes, list[Row]], anchored: bool) -> None:
    lanes, rows = made
    if not rows:
        return
    windows = Windows(lanes, CAPACITY, block=32 if anchored else None)
    found = windows.over(rows)
    assert sorted(index for window in found for index in window.members.values()) == list(range(len(rows)))
    for window in found:
        shape = window.shape
        assert shape.first >= 0 and shape.first + shape.batch <= LANES
        assert max(window.writes) + shape.seq <= shape.length <= windows.room == CAPACITY + MARGIN
        for line, write in enumerate(window.writes):
            lane = shape.first + line
            if line in window.members:
                one = rows[window.members[line]]
                assert lanes.lane(one.slot) == lane
                assert (write == one.start) if one.keep else (write >= max(one.start, lanes.held(one.slot)))
                assert len(one.tokens) <= shape.seq and len(one.want) <= shape.rows
            else:
                assert write >= lanes.held_at(lane)


def test_shapes_recur() -> None:
    assert [rounded(size) for size in (1, 2, 8, 9, 33, 64, 65, 272)] == [1, 8, 8, 16, 64, 64, 128, 320]
    lanes = Lanes(LANES)
    windows = Windows(lanes, CAPACITY, block=32)
    slots = [lanes.allocate(block=block) for block in (False, False, True)]
    (steps,) = windows.over([row(slot, 1) for slot in slots[:2]])
    (block,) = windows.over([row(slots[2], 20, want=7)])
    assert steps.shape == Shape(0, 2, 1, 1, 256)
    assert block.shape == Shape(LANES - 1, 1, 32, 32, 256)
    fixed = windows.fixed()
    assert {steps.shape, block.shape} <= fixed
    assert {(shape.seq, shape.rows) for shape in fixed} == {(1, 1), (8, 8), (32, 32)}
    assert {shape.batch for shape in fixed} == {1, 2, 4, 6}
    assert {shape.length for shape in fixed} == {256, 512, CAPACITY + MARGIN}


@given(st.lists(st.booleans(), min_size=LANES, max_size=LANES), st.integers(0, 9), st.data())
def test_tokens_and_blocks_have_shapes_of_the_fixed_list(blocks: list[bool], gone: int, data: st.DataObject) -> None:
    """Whichever rows are left of those that filled the lanes, and however few logits they ask for."""
    lanes = Lanes(LANES)
    slots = [lanes.allocate(block=block) for block in blocks]
    for slot in data.draw(st.permutations(slots))[: min(gone, LANES - 1)]:
        slots.remove(slot)
        lanes.free(slot)
    windows = Windows(lanes, CAPACITY, block=32)
    size = data.draw(st.integers(1, 32))
    (found,) = windows.over([row(slot, size, want=data.draw(st.integers(0, size))) for slot in slots])
    assert found.shape in windows.fixed()


def test_a_batch_that_is_not_anchored_has_the_rows_lanes_alone() -> None:
    lanes = Lanes(LANES)
    slots = [lanes.allocate(block=False) for _ in range(4)]
    windows = Windows(lanes, CAPACITY)
    (found,) = windows.over([row(slots[3], 1), row(slots[1], 1)])
    assert (found.shape.first, found.shape.batch, found.members) == (1, 3, {2: 0, 0: 1})


def test_rows_take_passes_of_their_own_where_a_lane_has_no_room() -> None:
    lanes = Lanes(LANES)
    full, other = lanes.allocate(block=False), lanes.allocate(block=False)
    lanes.hold(full, CAPACITY)
    windows = Windows(lanes, CAPACITY)
    wide = [row(full, 1, 3, keep=False), row(other, MARGIN + 1)]
    assert [window.shape.batch for window in windows.over(wide)] == [1, 1]
    assert not windows.fits_alone(row(full, MARGIN + 1, 3, keep=False))
    with pytest.raises(EngineError, match=r"a pass of 900 tokens does not fit the 832 entries of its lane, of which 3"):
        windows.over([row(other, 900, 3)])


def test_a_long_text_is_cut_and_every_wanted_row_is_in_one_piece() -> None:
    long = row(0, 2 * LONGEST + 5, 7)._replace(want=np.array([0, LONGEST, 2 * LONGEST + 4]), adapter=True)
    cut = pieces(long)
    assert [(len(one.tokens), one.start, one.want.tolist()) for one in cut] == [
        (LONGEST, 7, [0]),
        (LONGEST, 7 + LONGEST, [0]),
        (5, 7 + 2 * LONGEST, [4]),
    ]
    assert all(one.adapter is True for one in cut)
    long = row(0, LONGEST + 1)
    partly, all_of_it = (long._replace(leading=kept) for kept in (LONGEST, LONGEST + 1))
    for whole in (row(0, LONGEST), row(0, LONGEST + 1, keep=False), row(0, LONGEST + 1, sees="block"), partly):
        assert pieces(whole) == [whole]
    assert [len(one.tokens) for one in pieces(all_of_it)] == [LONGEST, 1]


def test_positions_and_adapters_of_tokens_are_cut_with_them() -> None:
    size = LONGEST + 3
    flags = np.arange(size) % 2 == 0
    cut = pieces(row(0, size)._replace(positions=np.arange(size) + 9, adapter=flags))
    assert [one.positions[0] for one in cut if one.positions is not None] == [9, 9 + LONGEST]
    np.testing.assert_array_equal(np.concatenate([np.asarray(one.adapter) for one in cut]), flags)
