"""Where the last tokens of a text stand in another one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from trimode.decoding.free_drafts.matches import LONGEST_MATCH, matches

IDS = st.lists(st.integers(0, 2), max_size=20)


def found(text: list[int], tail: list[int], first: int = 0, last: int | None = None) -> list[tuple[int, list[int]]]:
    ids, end = np.array(text, dtype=np.int64), np.array(tail, dtype=np.int64)
    return [(size, ends.tolist()) for size, ends in matches(ids, end, first, last)]


def test_each_size_narrows_the_places() -> None:
    assert found([1, 2, 3, 9, 2, 3, 9, 3], [1, 2, 3]) == [(1, [2, 5, 7]), (2, [2, 5]), (3, [2])]
    assert found([5, 6], [7]) == found([], [7]) == found([5], []) == []


@given(IDS, IDS, st.integers(0, 20), st.integers(0, 20))
def test_it_agrees_with_a_plain_search(text: list[int], tail: list[int], first: int, last: int) -> None:
    expected = []
    for size in range(1, min(LONGEST_MATCH, len(tail)) + 1):
        places = [end for end in range(size - 1, len(text)) if text[end - size + 1 : end + 1] == tail[-size:]]
        if within := [end for end in places if first <= end < last]:
            expected.append((size, within))
    assert found(text, tail, first, last) == expected
