"""Where an answer is in the text that was expected, after differences of every kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.decoding.free_drafts.matches import LONGEST_MATCH
from trimode.decoding.free_drafts.prediction import NEAR, Prediction

TEXT = list(range(100, 400))
"""No token occurs twice."""
IDS = st.lists(st.integers(0, 5), max_size=30)


def drafted(text: Sequence[int], answer: Sequence[int], count: int = 8) -> tuple[int, list[int]]:
    """Follow `answer`, asked after each token, and return the draft after it."""
    prediction = Prediction(text)
    for length, token in enumerate(answer, 1):
        prediction.next(np.array(answer[: length - 1], dtype=np.int64), count)
        prediction.follow(token, length)
    agreed, tokens = prediction.next(np.array(answer, dtype=np.int64), count)
    return agreed, tokens.tolist()


def test_it_begins_at_the_beginning() -> None:
    assert drafted(TEXT, []) == (0, TEXT[:8])


@pytest.mark.parametrize("length", [1, 3, 9])
def test_it_goes_on_where_the_answer_is(length: int) -> None:
    assert drafted(TEXT, TEXT[:length]) == (min(length, LONGEST_MATCH), TEXT[length : length + 8])


def test_nothing_follows_its_end() -> None:
    assert drafted(TEXT, TEXT)[1] == []
    assert drafted([], [1, 2])[1] == []


def test_a_token_in_place_of_another_is_taken_to_replace_it() -> None:
    assert drafted(TEXT, [*TEXT[:20], 7]) == (0, TEXT[21:29])


@pytest.mark.parametrize("skipped", [1, 3, 7])
def test_it_goes_on_after_tokens_that_were_left_out(skipped: int) -> None:
    at = 20 + skipped
    assert drafted(TEXT, [*TEXT[:20], TEXT[at]]) == (1, TEXT[at + 1 : at + 9])


@pytest.mark.parametrize("more", [1, 3, 30])
def test_it_goes_on_after_tokens_that_were_put_in(more: int) -> None:
    answer = [*TEXT[:20], *range(1000, 1000 + more), *TEXT[20:22]]
    assert drafted(TEXT, answer)[1] == TEXT[22:30]


def test_tokens_that_are_nowhere_in_it_stop_the_drafts() -> None:
    assert drafted(TEXT, [*TEXT[:20], 7, 8, 9, 10])[1] == []


def test_of_equal_matches_the_nearest_to_the_expected_place_counts() -> None:
    text = [*range(50), 1, 2, *range(200, 220), 1, 2, *range(300, 320)]
    assert drafted(text, [*range(55), 900, 901, 902, 1, 2])[1] == list(range(200, 208))
    assert drafted(text, [*range(50), 1, 2, *range(200, 216), 900, 901, 902, 903, 1, 2])[1] == list(range(300, 308))


def test_a_match_far_away_needs_more_tokens() -> None:
    text = [*range(10), *range(1000, 1000 + 2 * NEAR), 60, 61, 62, *TEXT]
    assert drafted(text, [*range(10), 900, 901, 902, 61, 62])[1] == []
    assert drafted(text, [*range(10), 900, 901, 60, 61, 62])[1] == TEXT[:8]


@given(IDS, IDS, st.integers(0, 9))
def test_what_it_drafts_is_a_part_of_it_as_long_as_was_asked(text: list[int], answer: list[int], count: int) -> None:
    agreed, tokens = drafted(text, answer, count)
    assert 0 <= agreed <= LONGEST_MATCH
    places = [at for at in range(len(text) + 1) if text[at : at + len(tokens)] == tokens]
    assert places and (len(tokens) == count or places[-1] + len(tokens) == len(text) or not tokens)
