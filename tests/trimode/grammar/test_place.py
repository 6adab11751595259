"""What is known of a place after a token."""

from __future__ import annotations

import pytest
from trimode.grammar.place import Place


@pytest.mark.parametrize(
    ("token", "forced", "path", "hopeless"),
    [
        (5, (), (7, 8), False),  # the way to the end goes on
        (6, (9,), None, False),  # what is dictated goes on, and no way is known
        (3, (), (4,), False),  # it was settled with a way
        (2, (), None, True),  # it was settled without one
    ],
)
def test_what_is_known_goes_on_with_the_token_it_is_of(
    token: int, forced: tuple[int, ...], path: tuple[int, ...] | None, hopeless: bool
) -> None:
    place = Place(inside=4, forced=(6, 9), path=(5, 7, 8), settled={1: (3, (4,)), 2: (2, None)})
    after = place.after(token)
    assert (after.token, after.inside) == (token, 5)
    assert (after.forced, after.path, after.hopeless, after.hint) == (forced, path, hopeless, (5, 7, 8))


def test_a_hint_stays_where_no_way_is_known() -> None:
    assert Place(hint=(1, 2)).after(3).hint == (1, 2)


def test_before_a_text_and_after_it_the_library_takes_nothing() -> None:
    waits = Place(waits=True, path=(1,))
    begun, still = waits.begun(7, begins=True), waits.begun(8, begins=False)
    assert (begun.waits, begun.inside, begun.path) == (False, 0, (1,))
    assert still.waits and still.path == (1,)
    ended = Place(inside=3).end(11)
    assert (ended.ended, ended.inside, ended.path) == (True, 3, ())
