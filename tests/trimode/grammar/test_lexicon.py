"""Nano's tokens as the grammar library sees them."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.grammar.lexicon import Lexicon

from tests.support.grammars import END, SIZE, ids, nano_lexicon


def test_special_tokens_are_never_allowed() -> None:
    lexicon = nano_lexicon()
    assert END in lexicon.special
    allowed = lexicon.unpack(b"\xff" * (SIZE // 8))
    assert allowed.sum() == SIZE - len(lexicon.special)
    assert not allowed[lexicon.special].any()


def test_what_ends_something_is_preferred_to_what_goes_on() -> None:
    lexicon = nano_lexicon()
    (closing,), (comma,), (letter,) = ids("}"), ids(","), ids("a")
    assert lexicon.ranks[closing] < lexicon.ranks[letter] < lexicon.ranks[comma]
    (quote,) = ids('"')
    assert lexicon.ranks_in_text[quote] < lexicon.ranks_in_text[closing]


def test_a_mask_is_read_from_the_lowest_bit() -> None:
    bits = bytearray(SIZE // 8)
    bits[25] = 0b100
    assert np.flatnonzero(nano_lexicon().unpack(bytes(bits))).tolist() == [202]


def test_what_is_no_tokenizer_is_an_error() -> None:
    with pytest.raises(ValueError, match="error loading tokenizer"):
        Lexicon('{"not": "json of a tokenizer"}', SIZE, END)
