"""Bad words, however tokens cut them: what is forbidden is exactly what would complete a word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.decoding.rules.bad_words import BadWords
from trimode.decoding.rules.base import Places
from trimode.text.vocabulary import Vocabulary

PIECES = [b"", b"a", b"b", b"ab", b"ba", b"aba", b"c", b"bc", b"\xc3", b"\xa9", b"abcab", b"<end>"]
HIDDEN = 11
TOKENS = st.sampled_from(range(len(PIECES)))


def spelled(tokens: list[int]) -> bytes:
    return b"".join(PIECES[token] for token in tokens if token != HIDDEN)


def forbidden(words: list[str], left: list[int], right: list[int]) -> list[int]:
    """Tokens that are forbidden between `left` and `right`."""
    known = [*left, None, *right]
    places = Places(np.array([len(left)]), lambda index: known[index] if 0 <= index < len(known) else None)
    scores = np.zeros((1, len(PIECES)), dtype=np.float32)
    BadWords(words, Vocabulary(PIECES), [HIDDEN], len(PIECES)).shape(scores, places)
    found: list[int] = np.flatnonzero(~np.isfinite(scores[0])).tolist()
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["ab", "aba", "bcab", "é", "c", "abcabc", "aa"]), min_size=1, max_size=3, unique=True),
    st.lists(TOKENS, max_size=4),
    st.lists(TOKENS, max_size=4),
)
def test_a_token_is_forbidden_if_it_completes_a_word(words: list[str], left: list[int], right: list[int]) -> None:
    parts = [word.encode() for word in words]
    clean = not any(part in spelled(side) for part in parts for side in (left, right))
    if not clean:
        return  # such an answer cannot come about
    expected = [token for token in range(len(PIECES)) if any(part in spelled([*left, token, *right]) for part in parts)]
    assert forbidden(words, left, right) == expected


@pytest.mark.parametrize(
    ("words", "left", "expected"),
    [
        (["abc"], [1], [7, 10]),  # after a: bc completes it, and abcab holds it
        (["abc"], [1, 2], [6, 10]),  # after a, b: c
        (["é"], [8], [9]),  # its second byte
        (["end"], [], []),  # a token that is not shown holds no word
    ],
)
def test_by_hand(words: list[str], left: list[int], expected: list[int]) -> None:
    assert forbidden(words, left, []) == expected


def test_tokens_that_the_model_does_not_have_are_left_alone() -> None:
    scores = np.zeros((1, 4), dtype=np.float32)
    BadWords(["ab"], Vocabulary(PIECES), [HIDDEN], 4).shape(scores, Places(np.array([0]), lambda index: None))
    assert np.flatnonzero(~np.isfinite(scores[0])).tolist() == [3]
