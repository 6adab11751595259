"""What followed the last tokens when they stood in the text before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.decoding.free_drafts.matches import LONGEST_MATCH
from trimode.decoding.free_drafts.prompt_lookup import LEAST_MATCH, PromptLookup


def found(text: list[int], count: int = 4) -> tuple[int, list[int]]:
    matched, tokens = PromptLookup().next(np.array(text, dtype=np.int64), count)
    return matched, tokens.tolist()


@pytest.mark.parametrize(
    ("text", "matched", "draft"),
    [
        ([5, 6, 7, 8, 9, 5, 6], 2, [7, 8, 9, 5]),
        ([4, 5, 6, 7, 8, 9, 9, 4, 5, 6], 3, [7, 8, 9, 9]),
        ([3, 4, 5, 6, 7, 8, 9, 9, 3, 4, 5, 6], 4, [7, 8, 9, 9]),
        ([2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6], 4, [7, 8, 9, 2]),
    ],
)
def test_the_longest_match_counts(text: list[int], matched: int, draft: list[int]) -> None:
    assert found(text) == (matched, draft)


def test_a_longer_match_goes_before_a_later_one() -> None:
    assert found([1, 2, 3, 70, 71, 72, 73, 2, 3, 80, 81, 82, 1, 2, 3]) == (3, [70, 71, 72, 73])


def test_of_equal_matches_the_latest_counts() -> None:
    assert found([1, 2, 70, 71, 1, 2, 80, 81, 9, 1, 2]) == (2, [80, 81, 9, 1])


@pytest.mark.parametrize("text", [[1], [1, 1], [1, 2, 3], [7, 2, 8, 2], [1, 2, 9, 8, 2]])
def test_without_a_match_there_is_no_draft(text: list[int]) -> None:
    assert found(text) == (0, [])


def test_a_text_that_repeats_itself_goes_on_doing_so() -> None:
    assert found([1, 2, 3, 1, 2, 3, 1, 2], 7) == (4, [3, 1, 2, 3, 1, 2, 3])
    assert found([8, 8, 8], 3) == (2, [8, 8, 8])


def test_following_changes_nothing() -> None:
    lookup = PromptLookup()
    lookup.follow(1, 1)
    assert lookup.next(np.array([5, 6, 7, 5, 6]), 1)[1].tolist() == [7]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12))
def test_it_agrees_with_a_plain_search(text: list[int], count: int) -> None:
    expected: tuple[int, list[int]] = (0, [])
    for size in range(LEAST_MATCH, LONGEST_MATCH + 1):
        for at in range(len(text) - size):
            if text[at : at + size] == text[-size:]:
                follows = text[at + size :]
                expected = size, (follows * count)[:count]
    assert found(text, count) == expected
