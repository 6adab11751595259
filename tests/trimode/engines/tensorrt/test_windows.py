"""Which rows share a call over the GPU's cache and where each lane writes: pure arithmetic, expected values by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from trimode.bundle.compilation import Compilation, Profile
from trimode.engines.base import Row
from trimode.engines.lanes import Lanes
from trimode.engines.tensorrt.layout import Shape
from trimode.engines.tensorrt.windows import Windows
from trimode.errors import EngineError

from tests.support.toy import manifest

LENGTHS = (1, 64, 512)
STEP = Profile("step", (1, 2, 4), (1, 1, 1), (0, 1, 1), LENGTHS)
BLOCK = Profile("block", (1, 2, 4), (1, 32, 32), (0, 32, 32), LENGTHS)
PREFILL = Profile("prefill", (1, 1, 1), (1, 200, 200), (0, 1, 32), LENGTHS)
COMPILED = Compilation("tensorrt", "11.4", ("9.0",), (STEP, BLOCK, PREFILL))


def slots_as_lanes(*held: int) -> Lanes:
    """As many slots as lanes, each with the number of its lane."""
    made = Lanes(len(held) + 20)
    for lane, count in enumerate([*held, *[0] * 20]):
        slot = made.allocate(block=False)
        assert made.lane(slot) == slot == lane
        made.hold(slot, count)
    return made


def windows(*held: int) -> Windows:
    return Windows(dataclasses.replace(manifest(capacity=512), compiled=COMPILED), slots_as_lanes(*held))


def row(slot: int, size: int = 1, start: int = 0, want: int = 1, *, keep: bool = True, sees: Any = "causal") -> Row:
    return Row(slot, np.arange(size), start, sees, np.arange(want), keep)


def test_a_step_is_of_the_step_profile() -> None:
    window = windows(9).over([row(0, start=9)])
    assert window is not None
    assert window.shape == Shape(profile=0, first=0, batch=1, seq=1, rows=1, length=64)
    assert (window.members, window.writes) == ({0: 0}, [9])


def test_rows_stand_by_their_lanes_and_lanes_without_one_write_behind_what_they_hold() -> None:
    window = windows(0, 7, 30, 11).over([row(3, start=11), row(1, start=7)])
    assert window is not None
    assert window.shape == Shape(profile=0, first=1, batch=3, seq=1, rows=1, length=64)
    assert (window.members, window.writes) == ({2: 0, 0: 1}, [7, 30, 11])


@pytest.mark.parametrize(
    ("size", "want", "profile", "seq", "rows"),
    [(1, 0, 0, 1, 0), (2, 1, 1, 4, 1), (5, 2, 1, 8, 8), (32, 9, 1, 32, 16), (33, 1, 2, 64, 1), (150, 32, 2, 192, 32)],
)
def test_tokens_and_rows_are_rounded_so_that_shapes_recur(
    size: int, want: int, profile: int, seq: int, rows: int
) -> None:
    window = windows().over([row(0, size, want=want)])
    assert window is not None
    assert window.shape[0] == profile
    assert window.shape[3:5] == (seq, rows)


def test_what_asks_for_more_logits_than_a_block_is_of_the_profile_of_quadratic_passes() -> None:
    quadratic = Profile("quadratic", (1, 1, 2), (1, 72, 72), (0, 64, 64), LENGTHS)
    compiled = dataclasses.replace(COMPILED, profiles=(*COMPILED.profiles, quadratic))
    made = Windows(dataclasses.replace(manifest(capacity=512), compiled=compiled), slots_as_lanes())
    found = [made.over(rows) for rows in ([row(0, 72, want=64)], [row(slot, 40, want=33) for slot in (0, 1)])]
    assert [window.shape[:5] for window in found if window] == [(3, 0, 1, 72, 64), (3, 0, 2, 64, 40)]
    smaller = made.over([row(0, 72, want=32)])
    assert smaller is not None and smaller.shape.profile == 2
    assert made.over([row(slot, 72, want=64) for slot in range(3)]) is None


def test_the_length_is_the_bucket_of_what_is_written_last() -> None:
    near, far = (windows(0, 300).over([row(0, 8, 50)]), windows(0, 300).over([row(0, 8, 50), row(1, 8, 300)]))
    assert near is not None and far is not None
    assert (near.shape.length, far.shape.length) == (64, 512)


def test_what_is_not_kept_is_written_behind_what_is_held() -> None:
    draft, beyond = row(0, 8, 20, keep=False), row(0, 8, 50, keep=False)
    assert [windows(40).over([one]).writes for one in (draft, beyond)] == [[40], [50]]  # type: ignore[union-attr]
    kept = windows(40).over([row(0, 8, 20)])
    assert kept is not None and kept.writes == [20]


def test_padding_stops_at_the_capacity() -> None:
    window = windows(507).over([row(0, 5, 507)])
    assert window is not None
    assert (window.shape.seq, window.shape.length) == (5, 512)


def test_without_room_there_is_no_call() -> None:
    assert windows(508).over([row(0, 5, 300, keep=False)]) is None
    assert windows(0, 508, 0).over([row(0, 5), row(2, 5)]) is None  # the lane between would be written to


def test_rows_that_cannot_share_a_call_are_grouped_by_neighbours() -> None:
    assert windows().groups([row(slot) for slot in (5, 0, 3, 4, 1)]) == [[1, 4, 2], [3, 0]]
    assert windows(0, 508, 0).groups([row(0, 5), row(2, 5)]) == [[0], [1]]
    assert windows().groups([row(0, 100), row(1, 100), row(2)]) == [[0], [1], [2]]  # a chunk goes alone


def pieces(one: Row) -> list[tuple[list[int], list[int], int, list[int]]]:
    found = windows().pieces(one)
    return [(places.tolist(), [*map(int, p.tokens[[0, -1]])], p.start, p.want.tolist()) for places, p in found]


def test_a_long_text_is_cut_into_chunks_of_the_longest_profile() -> None:
    long = row(0, 450, 10)._replace(want=np.array([449, 0]))
    assert pieces(long) == [
        ([1], [0, 199], 10, [0]),
        ([], [200, 399], 210, []),
        ([0], [400, 449], 410, [49]),
    ]


def test_a_text_whose_logits_are_all_wanted_is_cut_to_what_a_profile_gives() -> None:
    cut = pieces(row(0, 70, want=70))
    assert [(places[0], places[-1], start) for places, _, start, _ in cut] == [(0, 31, 0), (32, 63, 32), (64, 69, 64)]


def test_a_block_is_run_again_for_each_share_of_its_logits() -> None:
    cut = pieces(row(0, 50, 4, want=50, keep=False, sees="block"))
    assert [(places[0], places[-1], tokens, start) for places, tokens, start, _ in cut] == [
        (0, 31, [0, 49], 4),
        (32, 49, [0, 49], 4),
    ]


def test_a_pass_that_asks_for_nothing_is_one_piece() -> None:
    assert pieces(row(0, 5, want=0, keep=False)) == [([], [0, 4], 0, [])]


@pytest.mark.parametrize("changes", [{"sees": "block"}, {"keep": False}, {"sees": np.tri(201, dtype=bool)}])
def test_what_cannot_be_cut_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="a pass of 201 tokens that is not both causal and kept cannot be cut"):
        windows().pieces(row(0, 201, **changes))
