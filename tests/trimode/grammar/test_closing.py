"""How a text can be ended soon: what is found matches, and is about as short as what a person finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.api.guide import GuideType
from trimode.grammar.closing import close

from tests.support.grammars import compiled, ids, nano_lexicon, shown

RECORD = (
    '{"type": "object", "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": '
    '"string"}}, "age": {"type": "integer"}}, "required": ["name", "tags", "age"], "additionalProperties": false}'
)
NUMBERS = (
    '{"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "integer"}}, "required": ["a", "b"], '
    '"additionalProperties": false}'
)


@pytest.mark.parametrize(
    ("kind", "guide", "begun", "rest"),
    [
        ("json", "", "", "{}"),
        ("json", "", '{"a": [[{"b": "text', '"}]]}'),
        ("json_schema", RECORD, "", '{"name":"","tags":[],"age":0}'),
        ("json_schema", RECORD, '{"name": "Bob", "tags": ["x', '"],"age":0}'),
        ("json_schema", '{"anyOf": [{"type": "null"}, {"type": "string", "minLength": 40}]}', "", "null"),
        ("json_schema", NUMBERS, '{"a": 2E11', ',"b":0}'),
        ("regex", "(a|b)*c", "abab", "c"),
        ("regex", r"\d{4}-\d\d", "20", "00-00"),
        ("ebnf_grammar", 'root ::= "a" ("b" | "c")+ "d"\n', "", "abd"),
        ("choice", '["yes", "no"]', "y", "es"),
    ],
)
def test_the_rest_of_a_text_is_found(kind: GuideType, guide: str, begun: str, rest: str) -> None:
    at = compiled(kind, guide).start.deep_copy()
    assert at.consume_tokens(ids(begun))
    found = close(at, nano_lexicon(), 64, thorough=True)
    assert found is not None
    if kind == "json_schema" or kind == "json":
        json.loads(begun + shown(found))
        assert len(found) <= len(ids(rest)) + 4  # the layout may cost a token more
    else:
        assert shown(found) == rest


def test_the_matcher_stays_where_it_was() -> None:
    at = compiled("json_schema", RECORD).start.deep_copy()
    tokens = ids('{"name": "B')
    at.consume_tokens(tokens)
    for limit in (1, 5, 64):
        close(at, nano_lexicon(), limit, thorough=True)
    assert at.consume_tokens(ids('ob", "tags": [], "age": 7}'))
    assert at.is_accepting()


def test_nothing_is_found_where_the_rest_is_longer_than_the_limit() -> None:
    start: Any = compiled("json_schema", RECORD).start.deep_copy()
    shortest = close(start, nano_lexicon(), 64)
    assert shortest is not None
    assert close(start, nano_lexicon(), len(shortest) - 1, thorough=True) is None
    assert close(start, nano_lexicon(), len(shortest)) == shortest


@pytest.mark.parametrize(
    ("kind", "guide"),
    [
        ("regex", r"!(?:[a-f]*é{1,3}z){1,3}(?:(?:\.z|[名前]+\.?z)*)(?:(?:[a-f]\.+(?:\.?[a-f]{2}))?[^a-z\n]z)"),
        ("regex", r"<(?:(?:名)?|ß)(?:(?:yes)+|(?:no)+) (?:1 1)+>"),
        (
            "ebnf_grammar",
            'root ::= "<" a ">"\na ::= (b " " c) | "x" y\ny ::= "y" y | "z"\nb ::= ("no")* | ("ja" b)\nc ::= "1"\n',
        ),
    ],
)
def test_a_way_that_choices_by_rank_do_not_find_is_found_by_chance_the_same_each_time(
    kind: GuideType, guide: str
) -> None:
    start = compiled(kind, guide).start
    found = [close(start.deep_copy(), nano_lexicon(), 64, thorough=True, by_chance=True) for _ in range(2)]
    assert found[0] is not None
    assert found[0] == found[1]
    at = start.deep_copy()
    assert at.consume_tokens(found[0])
    assert at.is_accepting()
