"""Nano's tokens as the grammar library sees them."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.grammar.lexicon import Lexicon

from tests.support.grammars import END, SIZE, ids, matcher, nano_lexicon

SPECIAL = 20


def test_special_tokens_are_allowed_where_a_grammar_names_them_and_the_end_never() -> None:
    assert nano_lexicon().is_special[[END, SPECIAL]].all()
    any_text, named = matcher("regex", r"(.|\n)*"), matcher("ebnf_grammar", f'start: /a*/ <[{END},{SPECIAL}]> "b"')
    assert not any_text.allowed()[nano_lexicon().is_special & (np.arange(SIZE) != END)].any()
    assert named.allowed()[SPECIAL] and not named.allowed()[END]
    assert (any_text.fits(SPECIAL), named.fits(SPECIAL), named.fits(END)) == (False, True, False)
    named.look_ahead([*ids("aa"), SPECIAL])
    for token in (*ids("aa"), SPECIAL):
        assert named.allowed()[token] and not named.allowed()[END]
        named.take(token)
    assert named.forced == tuple(ids("b"))


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
