"""Numbers that a schema excludes: no text with one of them fits."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from trimode.grammar.schemas.limits import write_limits

from tests.support.grammars import compiled, nano_lexicon

NUMBERS = ("0", "-0", "0.1", "-0.1", "10", "10.0", "10.1", "-10", "-10.0", "-10.1", "9.9", "-9.9", "11", "1000000")


def fits(schema: dict[str, Any], text: str) -> bool:
    at, tokens = compiled("json_schema", json.dumps(schema)).start.deep_copy(), nano_lexicon().spell(text.encode())
    return bool(at.try_consume_tokens(tokens) == len(tokens) and at.is_accepting())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.25},
        {"type": "number", "exclusiveMinimum": -0.25, "exclusiveMaximum": 0.0},
        {"type": "number", "minimum": -10.25, "exclusiveMaximum": -10},
        {"type": "number", "exclusiveMinimum": 10.0, "exclusiveMaximum": 10.25},
        {"allOf": [{"type": "number", "exclusiveMinimum": 10}, {"type": "number", "maximum": 10.5}]},
        {"type": ["integer", "number"], "exclusiveMinimum": -1, "maximum": 10},
        {"type": "integer", "exclusiveMinimum": -11, "exclusiveMaximum": 11},
        {"type": "number", "exclusiveMinimum": 2**53, "maximum": 2**53 + 8},
    ],
    ids=str,
)
def test_what_fits_is_valid_and_what_is_excluded_does_not_fit(schema: dict[str, Any]) -> None:
    checker = jsonschema.Draft202012Validator(schema)
    for text in (*NUMBERS, str(2**53), str(2**53 + 2)):
        assert not fits(schema, text) or checker.is_valid(json.loads(text)), text
    assert any(fits(schema, text) for text in (*NUMBERS, str(2**53 + 4)))


def test_the_narrower_of_two_limits_holds_and_others_stay() -> None:
    schema = {"properties": {"a": {"exclusiveMinimum": 0, "minimum": 5}, "b": {"exclusiveMaximum": 0.5}}}
    write_limits(schema)
    assert schema == {"properties": {"a": {"minimum": 5}, "b": {"exclusiveMaximum": 0.5}}}
    huge = {"exclusiveMinimum": 10**400, "exclusiveMaximum": 1e300}  # the library refuses them by itself
    write_limits(huge)
    assert huge == {"exclusiveMinimum": 10**400, "exclusiveMaximum": 1e300}
    for limit in (2**53 + 1, 2**53 + 3, 2**62 + 1):
        write_limits(apart := {"exclusiveMinimum": limit})
        write_limits(below := {"exclusiveMaximum": -limit})
        assert limit < apart["minimum"] <= limit + 1024 and -limit - 1024 <= below["maximum"] < -limit
    wider = {"exclusiveMaximum": 0, "maximum": 5}
    write_limits(wider)
    assert wider == {"maximum": -1e-9}
