"""The bytes behind tokens, and the tokens that begin and end with given bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from trimode.text.tokenizer import Tokenizer
from trimode.text.vocabulary import BYTE_OF, Vocabulary

from tests.support.tokenizers import MERGING, TOKENIZER, WORDS

PIECES = [b"", b"a", b"ab", b"abc", b"c", b"bc", b"\xc3", b"\xff", b"ab", b"a\xc3b"]


def test_the_alphabet_is_that_of_the_tokenizers_library() -> None:
    assert set(BYTE_OF) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(BYTE_OF.values()) == list(range(256))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from([TOKENIZER, MERGING, WORDS]))
def test_the_pieces_of_a_text_are_its_bytes(text: str, tokenizer: Tokenizer) -> None:
    assert b"".join(tokenizer.vocabulary.of(tokenizer.encode(text))) == text.encode()


def test_an_added_token_stands_for_its_text_and_an_unknown_one_for_nothing() -> None:
    assert TOKENIZER.vocabulary.of([0, TOKENIZER.vocabulary.size - 1, 10**6]) == [b"<eos>", b"</think>", b""]


@pytest.mark.parametrize("first", [b"", b"a", b"ab", b"\xc3", b"\xff", b"x"])
@pytest.mark.parametrize("last", [b"", b"b", b"bc", b"c", b"\xff", b"x"])
def test_around_are_those_that_begin_and_end_so(first: bytes, last: bytes) -> None:
    expected = [
        at
        for at, piece in enumerate(PIECES)
        if piece.startswith(first) and piece.endswith(last) and len(piece) >= len(first + last)
    ]
    assert sorted(Vocabulary(PIECES).around(first, last).tolist()) == expected


@pytest.mark.parametrize("part", [b"a", b"ab", b"b", b"bc", b"\xc3", b"x"])
def test_holding_are_those_in_which_it_stands_and_exactly_those_that_are_it(part: bytes) -> None:
    vocabulary = Vocabulary(PIECES)
    assert vocabulary.holding(part).tolist() == [at for at, piece in enumerate(PIECES) if part in piece]
    assert sorted(vocabulary.exactly(part).tolist()) == [at for at, piece in enumerate(PIECES) if part == piece]


def test_there_may_be_no_tokens_at_all() -> None:
    assert Vocabulary([]).holding(b"a").tolist() == Vocabulary([]).exactly(b"a").tolist() == []
    assert Vocabulary([]).around(b"a", b"").tolist() == []
