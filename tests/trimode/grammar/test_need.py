"""How much a text may need to be ended: a bound of what closing it takes, wherever it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from trimode.grammar.closing import close
from trimode.grammar.need import MOST, SLACK, most_needed
from trimode.grammar.source import Source

from tests.support.grammars import compiled, nano_lexicon

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


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string", "minLength": 5}, '"aaaaa"'),
        ({"enum": ["a", None, "größe"]}, json.dumps("größe")),
        ({"anyOf": [{"type": "string"}, {"const": "long text"}]}, '"long text"'),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": "xyz"}}}, '"xyz"'),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, "[1,1,1]  "[:8]),
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
