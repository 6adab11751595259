"""How much a text may need to be ended: a bound of what closing it takes, wherever it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trimode.grammar.closing import close
from trimode.grammar.need import MOST, NUMBER, SLACK, most_needed
from trimode.grammar.source import Source

from tests.support.grammars import compiled, ids, nano_lexicon

RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"const": 1}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def typed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


PAIR = typed(a={"const": 1})
LARGE = {
    **typed(**{f"name{at}": {"type": "string"} for at in range(60)}),
    "required": [f"name{at}" for at in range(60)],
}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string", "minLength": 5}, '"aaaaa"'),
        ({"enum": ["a", None, "größe"]}, json.dumps("größe")),
        ({"anyOf": [{"type": "string"}, {"const": "long text"}]}, '"long text"'),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": "xyz"}}}, '"xyz"'),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, "[1,1,1]  "[:8]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, "[1]  "),
        ({"type": "string", "format": "uri", "minLength": 300}, f'"{"a" * 300}"'),
        ({"$ref": "#/$defs/a", "title": "A", "$defs": {"a": {"const": "xyz"}}}, '"xyz"'),
        ({"$ref": "#/$defs/a", "$defs": {"a": PAIR}, **typed(b={"const": 5})}, '{"a":1,}{"b":5,}'),
        ({"anyOf": [PAIR, {"const": 7}], "properties": {"b": {"const": 5}}}, '{"a":1,}{"b":5,}'),
        ({"allOf": [PAIR, typed(b={"const": 5})]}, '{"a":1,}{"b":5,}'),
        ({**typed(), "additionalProperties": {"const": 1}, "required": ["a", "b"]}, '{"":1,"a":1,"b":1,}'),
    ],
)
def test_everything_counts_in_its_shortest_form(schema: Any, shown: str) -> None:
    found = most_needed(Source("json_schema", json.dumps(schema)))
    assert len(shown) - 1 <= found - SLACK <= len(shown)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "items": True},
        {"properties": {"a": {"const": 1}}},
        {"allOf": [PAIR, {"minProperties": 1}]},
        {"anyOf": [PAIR], "additionalProperties": {"const": 1}},
        {"allOf": [{"type": "array", "items": {"const": 1}}, {"type": "array", "items": {"const": 1}, "minItems": 9}]},
        {"$ref": "#/$defs/a", "minItems": 9, "$defs": {"a": {"type": "array", "items": {"const": 1}}}},
        {"$ref": "#/$defs/a", "pattern": "a{99}", "$defs": {"a": {"type": "string"}}},
        {"type": "number", "minimum": float("inf")},
        {"type": "string", "pattern": "a{99}"},
        {"type": "object", "patternProperties": {"a": {"type": "string"}}},
        {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
        {"$ref": "#/$defs/none", "$defs": {}},
        {"$ref": "elsewhere"},
        True,
    ],
)
def test_where_no_bound_is_known_much_is_assumed(schema: Any) -> None:
    assert most_needed(Source("json_schema", json.dumps(schema))) == MOST


def test_what_is_assumed_is_more_than_the_shortest_text() -> None:
    assert most_needed(Source("regex", "a{900}"), [1] * 900) == 900 + SLACK
    assert most_needed(Source("regex", "a{20}"), [1] * 20) == MOST


@pytest.mark.parametrize(
    ("limits", "digits"),
    [
        ({"minimum": 10**60}, 61),
        ({"minimum": 1e60}, 61),
        ({"exclusiveMaximum": -(10**40)}, 42),
        ({"multipleOf": 1e-30}, 32),
    ],
)
def test_numbers_have_the_digits_of_their_limits(limits: dict[str, Any], digits: int) -> None:
    found = most_needed(Source("json_schema", json.dumps({"type": "number", **limits})))
    assert digits <= found - SLACK <= digits + NUMBER


def test_other_kinds() -> None:
    assert most_needed(Source("choice", '["a", "größe"]')) == len("größe".encode()) + SLACK
    assert most_needed(Source("regex", "a{200}")) == MOST
    assert most_needed(Source("json", "")) == MOST


def test_no_beginning_needs_more() -> None:
    text = json.dumps(RECORD)
    need, lexicon = most_needed(Source("json_schema", text)), nano_lexicon()
    assert need < 100
    for seed in range(6):
        chance, at = np.random.default_rng(seed), compiled("json_schema", text).start.deep_copy()
        for _ in range(60):
            allowed = np.flatnonzero(lexicon.unpack(at.compute_bitmask()))
            if not len(allowed):
                break
            closing = close(at, lexicon, MOST)
            assert closing is not None and len(closing) <= need
            usual = closing[0] if closing and chance.random() < 0.3 else int(chance.choice(allowed))
            at.consume_token(usual)


@pytest.mark.parametrize(
    ("schema", "room"),
    [
        (LARGE, 700),
        (LARGE, 1100),
        ({**LARGE, "additionalProperties": True}, 700),
        ({"type": "array", "items": {}}, 100),
        ({"type": "number", "minimum": 1e-60, "maximum": 2e-60}, 80),
    ],
)
def test_whatever_is_written_ends_in_time(schema: Any, room: int) -> None:
    text = json.dumps(schema)
    made = compiled("json_schema", text)
    assert made.shortest is not None and len(made.shortest) < room
    at = replace(made, need=most_needed(Source("json_schema", text), made.shortest)).matcher()
    chance = np.random.default_rng(0)
    for left in range(room, 0, -1):
        if at.complete:
            break
        allowed = np.flatnonzero(at.allowed())
        brackets = [token for token in ids("[") if token in allowed]
        at.take(at.settle(brackets[0] if brackets else int(chance.choice(allowed)), left))
    assert at.accepting
