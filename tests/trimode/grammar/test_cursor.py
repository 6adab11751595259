"""The library's matcher is moved to where something is asked, and counts what it takes once."""

from __future__ import annotations

import pytest
from trimode.errors import RequestError
from trimode.grammar.cursor import Cursor, dictated
from trimode.grammar.place import Place

from tests.support.grammars import compiled, ids


def test_it_goes_back_to_where_a_text_was_before_another_was_tried() -> None:
    start = compiled("regex", "(ab|ac)d").start.deep_copy()
    (a,), (b,), (c,), (d,) = map(ids, "abcd")
    begin = Place()
    cursor = Cursor(start, begin)
    assert begin.forced == dictated(start)
    assert cursor.enter([begin], a) and begin.last is not None
    one = begin.last
    assert cursor.enter([begin, one], b) and one.last is not None
    assert cursor.enter([begin, one, one.last], d)
    assert not cursor.enter([begin, one], d)  # goes back by two
    assert cursor.enter([begin, one], c)
    assert cursor.at([begin, one, one.last]).validate_tokens([d]) == 1
    assert cursor.use.tokens == 4


def test_what_is_dictated_from_the_beginning_on_is_not_asked_for_where_the_text_has_not_begun() -> None:
    waits = Place(waits=True)
    Cursor(compiled("choice", '["abc"]').start.deep_copy(), waits)
    assert waits.forced == ()


def test_a_grammar_that_is_in_error_is_refused_with_how_far_the_text_came() -> None:
    start = compiled("choice", '["abc"]').start.deep_copy()
    begin = Place()
    cursor = Cursor(start, begin)
    (z,) = ids("z")
    assert not start.consume_token(z)  # an error of the library's, which stays
    with pytest.raises(RequestError, match="an answer of 0 tokens"):
        cursor.check([begin])
