"""One text in its grammar: what may come next, what must, how it is taken back, and that it ends in time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.guide import GuideType
from trimode.grammar.foresight import NOTHING, Foreseen
from trimode.grammar.matcher import Matcher
from trimode.server.openai.tools.wanted import Tool, Tools

from tests.support.grammars import END, compiled, ids, matcher, nano_lexicon, shown

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["é", "🙂"]}},
        "age": {"type": "integer"},
    },
    "required": ["name", "tags", "age"],
    "additionalProperties": False,
}
TEXT = '{"name": "Bob \\" 🙂", "tags": ["é", "🙂"], "age": 42}'
THOUGHT_ENDS = 7


def record() -> Matcher:
    return matcher("json_schema", SCHEMA)


def test_the_masks_and_fits_agree_along_a_text() -> None:
    text = record()
    for token in ids(TEXT):
        allowed = text.allowed()
        assert allowed[token]
        some = np.random.default_rng(token).integers(0, len(allowed), 64)
        assert [text.fits(int(other)) for other in some] == allowed[some].tolist()
        text.take(token)
    assert text.complete


def test_nothing_but_the_end_may_follow_a_complete_text() -> None:
    text = record()
    for token in ids(TEXT):
        text.take(token)
    assert np.flatnonzero(text.allowed()).tolist() == [END]
    text.take(END)
    assert text.complete
    assert not text.allowed().any()


def test_a_text_without_an_end_token_ends_by_itself_alone() -> None:
    text = matcher("regex", "a+", ends=())
    assert not text.fits(END)
    text.take(ids("a")[0])
    assert text.accepting
    assert not text.allowed()[END]


def test_the_end_is_allowed_where_the_text_may_end() -> None:
    text = matcher("regex", "a+b?")
    assert not text.fits(END)
    text.take(ids("a")[0])
    assert text.fits(END)
    assert text.allowed()[END]
    assert not text.complete


@given(st.lists(st.integers(0, len(ids(TEXT))), max_size=12))
def test_what_is_taken_back_leaves_nothing_behind(places: list[int]) -> None:
    tokens, text, at = ids(TEXT), record(), 0
    for place in places:
        if place < at:
            text.back(at - place)
        for token in tokens[at:place]:
            text.take(token)
        at = place
        fresh = record()
        for token in tokens[:at]:
            fresh.take(token)
        assert (text.taken, text.accepting, text.forced) == (fresh.taken, fresh.accepting, fresh.forced)
        assert (text.allowed() == fresh.allowed()).all()


def test_an_end_can_be_taken_back() -> None:
    text = record()
    for token in [*ids(TEXT), END]:
        text.take(token)
    text.back(2)
    assert not text.accepting
    text.take(ids("}")[0])
    assert text.complete


def test_forced_tokens_are_those_of_the_tokenizer() -> None:
    said = "the one text that there is"
    text = matcher("choice", [said])
    assert list(text.forced) == ids(said)[: len(text.forced)]
    assert len(text.forced) > 1
    text.take(text.forced[0])
    assert list(text.forced) == ids(said)[1 : 1 + len(text.forced)]


def test_masks_along_a_draft_are_those_of_each_place() -> None:
    draft = ids(TEXT)
    text, ahead = record(), record()
    ahead.look_ahead(draft)
    for token in draft:
        assert (text.allowed() == ahead.allowed()).all()
        text.take(token)
        ahead.take(token)
    assert (text.allowed() == ahead.allowed()).all()


def test_masks_along_a_draft_are_dropped_where_another_token_is_taken() -> None:
    draft = ids('{"name": "Bob')
    text = record()
    text.look_ahead(draft)
    for token in ids('{"name": "A'):
        text.take(token)
    fresh = record()
    for token in ids('{"name": "A'):
        fresh.take(token)
    assert (text.allowed() == fresh.allowed()).all()
    text.back(1)
    fresh.back(1)
    assert (text.allowed() == fresh.allowed()).all()


def test_masks_reach_as_far_as_the_draft_fits() -> None:
    at, lexicon = compiled("regex", "abc").start, nano_lexicon()
    (a,), (x,) = ids("a"), ids("x")
    found = Foreseen(2, (x, a, x, a)).made(at, lexicon, (END,), 3)
    assert found.words is not None
    assert (found.first, found.draft, len(found.words)) == (3, (a,), 2)
    assert found.goes_on(3, a)
    assert not found.goes_on(3, x)
    assert found.at(5) is None
    assert NOTHING.at(0) is None
    assert Foreseen(0, (a,)).at(0) is None


def test_before_the_text_begins_anything_but_an_end_may_come() -> None:
    text = matcher("json_schema", SCHEMA, begins_after=THOUGHT_ENDS)
    assert text.waits
    assert text.forced == ()
    assert text.fits(ids("b")[0])
    assert not text.fits(END)
    assert not text.allowed()[END]
    text.take(ids("b")[0])
    text.take(THOUGHT_ENDS)
    assert not text.waits
    assert text.fits(ids("{")[0])
    assert not text.fits(ids("b")[0])
    text.back(1)
    assert text.waits


def finish(text: Matcher, most: int, seed: int) -> list[int]:
    """Take random tokens that fit, as a model that knows nothing would."""
    chance, taken = np.random.default_rng(seed), list[int]()
    while len(taken) < most and not text.complete:
        token = int(chance.choice(np.flatnonzero(text.allowed())))
        token = text.settle(token, most - len(taken))
        assert text.fits(token)
        text.take(token)
        taken.append(token)
    return taken


@pytest.mark.parametrize("most", [28, 32, 64, 128, 400])
def test_a_text_ends_in_time_whatever_the_model_wants(most: int) -> None:
    for seed in range(20):
        text = record()
        taken = finish(text, most, seed)
        assert text.accepting
        assert set(json.loads(shown([one for one in taken if one != END]))) == {"name", "tags", "age"}


def test_where_the_shortest_text_does_not_fit_what_there_is_is_a_beginning() -> None:
    text = record()
    taken = finish(text, 8, 0)
    assert len(taken) == 8
    assert not text.accepting
    other = record()
    for token in taken:
        assert other.fits(token)
        other.take(token)


ADD = Tool("add", "", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
CALLS = Tools((ADD,), "auto", ("add",), 8).grammar({}, compact=False)
TAGS = {"structures": [{"begin": "<f>", "schema": {"type": "integer"}, "end": "</f>"}], "triggers": ["<f>"]}


@pytest.mark.parametrize(
    ("kind", "guide", "said", "whole"),
    [
        ("ebnf_grammar", CALLS, "Some words", False),
        ("ebnf_grammar", CALLS, '[{"name": "add", "arguments', False),
        ("ebnf_grammar", CALLS, '[{"name": "add", "arguments": {"a": 4}}]', True),
        ("structural_tag", TAGS, "Some words", False),
        ("structural_tag", TAGS, "So <f>5</f>", False),
        ("regex", r"(.|\n)*", "Some words", False),
        ("regex", r"[0-9]+", "42", True),
        ("json_schema", {"type": "integer"}, "42", True),
        ("json_schema", SCHEMA, TEXT, True),
    ],
)
def test_words_that_could_go_on_are_not_whole(kind: GuideType, guide: object, said: str, whole: bool) -> None:
    text = matcher(kind, guide)
    for token in ids(said):
        text.take(token)
    assert text.accepting
    assert text.whole == whole


@pytest.mark.parametrize(
    ("kind", "guide", "said"),
    [("ebnf_grammar", CALLS, '[{"name": "add", "arguments": {"a": 4'), ("structural_tag", TAGS, "So <f>12")],
)
def test_what_begins_in_words_and_does_not_fit_is_cut_as_it_is(kind: GuideType, guide: object, said: str) -> None:
    text, tokens = matcher(kind, guide), ids(said)
    for at, token in enumerate(tokens):
        assert text.settle(token, len(tokens) - at) == token
        text.take(token)
    assert not text.whole


def test_a_thought_ends_in_time_for_the_text() -> None:
    text = matcher("json_schema", SCHEMA, begins_after=THOUGHT_ENDS)
    taken, letter = list[int](), ids("b")[0]
    while len(taken) < 40 and not text.complete:
        token = letter if text.waits else int(np.flatnonzero(text.allowed())[0])
        token = text.settle(token, 40 - len(taken))
        text.take(token)
        taken.append(token)
    assert text.accepting
    assert THOUGHT_ENDS in taken
