"""A filling in its grammar: what of the left side comes again, where its text ends, and that it ends in time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.guide import GuideType
from trimode.grammar.closing import Ends, accepts
from trimode.grammar.gap_matcher import GapMatcher, followed_by
from trimode.grammar.matcher import Matcher

from tests.support.grammars import compiled, ids, nano_lexicon, shown

COMMA, ONE, BRACE = ids(",")[0], ids("1")[0], ids("}")[0]


def gap(
    kind: GuideType, guide: str, head: str = "", after: str = "", left: str = "", ends: Ends = accepts
) -> GapMatcher:
    at = compiled(kind, guide).after(left.encode())
    assert at is not None
    return GapMatcher(Matcher(at, nano_lexicon(), None, may_end=ends), nano_lexicon(), head.encode(), after.encode())


def of_object(left: str, right: str) -> GapMatcher:
    ends = followed_by(nano_lexicon().spell(right.encode()), closed=True)
    return gap("json", "", left=left, after=right, ends=ends)


def agree(guide: GapMatcher) -> None:
    """The mask says what `fits` says, of every token."""
    allowed = guide.allowed()
    assert [guide.fits(token) for token in range(len(allowed))] == allowed.tolist()


def test_masks_and_fits_agree_before_in_and_after_the_text() -> None:
    guide = gap("regex", "[0-9]{2,4}", head=" ", after=", and")
    agree(guide)
    for token in ids(" 12"):
        assert guide.fits(token)
        guide.take(token)
        agree(guide)
    assert guide.accepting and not guide.complete
    guide.take(COMMA)
    assert guide.complete
    agree(guide)


def test_the_end_of_the_left_side_comes_again_alone_or_with_the_text() -> None:
    guide = gap("choice", '["fox"]', head="the fo")
    pieces = nano_lexicon().pieces
    for token in np.flatnonzero(guide.allowed()):
        assert b"the fofox".startswith(pieces[token])
    for token in nano_lexicon().spell(b"the fo"):
        assert not guide.accepting
        guide.take(token)
    assert guide.fits(ids("f")[0])
    assert not guide.fits(ids("x")[0])
    guide.back(guide.taken)
    assert guide.taken == 0
    agree(guide)


def test_a_text_that_could_end_ends_where_the_right_side_comes() -> None:
    guide = gap("regex", "[0-9]+", after=", and so on")
    assert not guide.fits(COMMA)
    guide.take(ONE)
    assert guide.fits(COMMA) and guide.fits(ONE)
    guide.take(COMMA)
    assert guide.accepting and guide.complete
    guide.back(1)
    assert not guide.complete and guide.fits(ONE)


def test_where_the_right_side_could_be_text_both_go_on() -> None:
    guide = of_object('{"a": [1', ', 2], "b": 3}')
    assert guide.accepting
    guide.take(COMMA)
    assert guide.accepting and not guide.complete
    assert guide.fits(ids("5")[0])


def test_a_gap_may_end_only_where_the_whole_text_matches_with_its_right_side() -> None:
    guide = of_object('{"a": ', ', "b": 2}')
    assert not guide.accepting
    guide.take(ids("[")[0])
    guide.take(ONE)
    assert not guide.accepting, "a list is still open"
    guide.take(ids("]")[0])
    assert guide.accepting


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a": ', ', "b": 2}'),
        ('{"a": [[1, ', ']], "b": 2}'),
        ('{"na', '": {"x": 1}}'),
        ('{"a": "', '"}'),
        ("", "}"),
        ("{", ""),
        ('{"a": 1', "}"),
    ],
)
@pytest.mark.parametrize("size", [4, 9])
def test_a_gap_ends_in_time_whatever_is_chosen(left: str, right: str, size: int) -> None:
    for seed in range(12):
        guide, chance, taken = of_object(left, right), np.random.default_rng(seed), list[int]()
        while len(taken) < size and not guide.complete:
            token = guide.settle(int(chance.choice(np.flatnonzero(guide.allowed()))), size - len(taken))
            assert guide.fits(token)
            guide.take(token)
            taken.append(token)
        assert guide.accepting or guide.complete, (left, shown(taken), right)


@pytest.mark.parametrize(("left", "right", "filling"), [('{"v', 'ue": 1}', "al"), ("{", 'ue": 1}', '"val')])
def test_a_gap_may_end_inside_of_what_is_dictated(left: str, right: str, filling: str) -> None:
    record = {"type": "object", "properties": {"value": {"const": 1}}, "required": ["value"]}
    schema = json.dumps({**record, "additionalProperties": False})
    ends = followed_by(nano_lexicon().spell(right.encode()), closed=True)
    for seed in range(4):
        guide, chance = gap("json_schema", schema, left=left, after=right, ends=ends), np.random.default_rng(seed)
        taken = list[int]()
        while not guide.accepting:
            token = guide.forced[0] if guide.forced else int(chance.choice(np.flatnonzero(guide.allowed())))
            token = guide.settle(token, 8 - len(taken))
            guide.take(token)
            taken.append(token)
        assert shown(taken).strip() == filling


@given(st.lists(st.integers(0, 6), max_size=8))
def test_what_is_taken_back_leaves_nothing_behind(places: list[int]) -> None:
    tokens = [ids(" ")[0], *ids("1"), *ids("2"), COMMA]
    guide, at = gap("regex", "[0-9]+", head=" ", after=", and"), 0
    for place in places:
        place = min(place, len(tokens))
        if place < at:
            guide.back(at - place)
        for token in tokens[at:place]:
            guide.take(token)
        at = place
        fresh = gap("regex", "[0-9]+", head=" ", after=", and")
        for token in tokens[:at]:
            fresh.take(token)
        assert (guide.taken, guide.accepting, guide.complete) == (fresh.taken, fresh.accepting, fresh.complete)
        assert (guide.allowed() == fresh.allowed()).all()


def test_what_is_dictated_is_not_where_the_gap_may_end() -> None:
    guide = gap("choice", '["one long text", "one"]')
    assert shown(guide.forced) == "one"
    for token in guide.forced:
        guide.take(token)
    assert guide.forced == ()


def test_masks_along_a_draft_are_those_of_each_place() -> None:
    draft = ids('{"a": 1}')
    guide, ahead = gap("json", "", after=" x"), gap("json", "", after=" x")
    ahead.look_ahead(draft)
    for token in draft:
        assert (guide.allowed() == ahead.allowed()).all()
        guide.take(token)
        ahead.take(token)
    assert not guide.waits


def test_a_text_is_spelled_in_any_bytes() -> None:
    lexicon, text = nano_lexicon(), 'naïve {"ключ": "🙂"}'.encode()
    spelled = lexicon.spell(text)
    assert b"".join(lexicon.pieces[token] for token in spelled) == text
    assert next(lexicon.pieces[token] for token in lexicon.beginnings(b"the")) == b"t"
    with pytest.raises(ValueError, match="no token stands for byte"):
        type(lexicon).spell(_Without(lexicon), b"a")  # type: ignore[arg-type]  # a lexicon without bytes


class _Without:
    """What is left of a lexicon that knows no token."""

    def __init__(self, lexicon: object) -> None:
        del lexicon
        self._longest, self._by_piece = 1, dict[bytes, int]()
