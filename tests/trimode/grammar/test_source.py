"""From a request's words to a grammar: what each kind takes and refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.guide import MAX_GUIDE_CHARACTERS, GuideType
from trimode.errors import RequestError
from trimode.grammar.compiled import compile_grammar
from trimode.grammar.matcher import Matcher
from trimode.grammar.source import MOST_CHOICES, Source, grammar_text

from tests.support.grammars import END, ids, matcher, nano_lexicon, shown


def follows(text: Matcher, said: str) -> bool:
    """Whether `said` can begin the text."""
    for token in ids(said):
        if not text.fits(token):
            return False
        text.take(token)
    return True


@pytest.mark.parametrize(
    ("kind", "text", "limit"),
    [
        ("json_schema", "nope", "must be valid JSON"),
        ("json_schema", "[" * 100_00, "must be valid JSON"),
        ("json_schema", "false", "must be a schema that some value fits"),
        ("json_schema", '{"minimum": 1%s}' % ("0" * 60), "must be a schema that the grammar library reads"),
        ("choice", "[]", f"must be a JSON list of 1 to {MOST_CHOICES} texts, none of them empty"),
        ("choice", '["a", ""]', f"must be a JSON list of 1 to {MOST_CHOICES} texts, none of them empty"),
        ("choice", '["a", 1]', f"must be a JSON list of 1 to {MOST_CHOICES} texts, none of them empty"),
        ("choice", '{"a": 1}', f"must be a JSON list of 1 to {MOST_CHOICES} texts, none of them empty"),
        ("regex", "(a{1000}){1000}", "must repeat an atom at most 20000 times"),
        ("ebnf_grammar", "nonsense", "must be a grammar in the notation of Lark or GBNF"),
        ("regex", "a" * (MAX_GUIDE_CHARACTERS + 1), f"must be at most {MAX_GUIDE_CHARACTERS} characters"),
    ],
)
def test_what_is_not_of_its_kind_is_refused(kind: GuideType, text: str, limit: str) -> None:
    with pytest.raises(RequestError) as caught:
        grammar_text(Source(kind, text))
    assert (caught.value.error_type, caught.value.limit) == ("bad_grammar", limit)


@pytest.mark.parametrize(("kind", "guide"), [("json", ""), ("json_schema", '{"type": "object"}')])
def test_json_without_whitespace_has_none_outside_of_texts(kind: GuideType, guide: str) -> None:
    said = '{"a b":[1,{"c": 2}],"d":"e f"}'
    compact = compile_grammar(grammar_text(Source(kind, guide, compact=True)), nano_lexicon())
    free = compile_grammar(grammar_text(Source(kind, guide)), nano_lexicon())
    assert not follows(compact.matcher([END], None), said) and follows(free.matcher([END], None), said)
    assert follows(compact.matcher([END], None), said.replace(": ", ":"))


@pytest.mark.parametrize(
    ("kind", "guide", "fits", "breaks"),
    [
        ("json", "", '{"a": [1, 2.5e3, null, "é"]}', "[1]"),
        ("json_schema", {"type": "integer"}, "-12", "1.5"),
        ("json_schema", True, "[true]", "nothing"),
        ("regex", r"\d{4}-\d\d", "2026-11", "26-11"),
        ("choice", ["yes", "no"], "yes", "maybe"),
        ("ebnf_grammar", 'start: "a" ("b" | "c")+\n', "abcb", "bb"),
        ("ebnf_grammar", 'root ::= "a" ("b" | "c")+\n', "abcb", "bb"),
    ],
)
def test_each_kind_takes_its_texts_and_no_other(kind: GuideType, guide: object, fits: str, breaks: str) -> None:
    text = matcher(kind, guide)
    for token in ids(fits):
        assert text.fits(token)
        text.take(token)
    assert text.accepting
    assert not follows(matcher(kind, guide), breaks)


@pytest.mark.parametrize("laid_out", ['{"a":1}', '{"a": 1}', '{\n  "a": 1\n}', '{ "a":\n1}'])
def test_the_layouts_that_people_write_are_taken(laid_out: str) -> None:
    assert follows(matcher("json", ""), laid_out)


@pytest.mark.parametrize("free", ['{"a":  1}', '{\n\n"a": 1}', '{\t"a": 1}', '{"a": 1} ', "{\n" + " " * 17 + '"a": 1}'])
def test_whitespace_is_bounded(free: str) -> None:
    assert not follows(matcher("json", ""), free)


@settings(deadline=None)  # the first one reads the tokenizer
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_choice_is_taken_literally(choices: list[str]) -> None:
    text = matcher("choice", json.dumps(choices))
    for token in ids(choices[0]):
        assert text.fits(token)
        text.take(token)
    assert text.accepting
    assert shown(ids(choices[0])) == choices[0]
