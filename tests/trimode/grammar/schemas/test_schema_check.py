"""What a schema may hold: each keyword that cannot be enforced is refused, by its name and its place."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.errors import RequestError
from trimode.grammar.schemas.schema_check import ANNOTATIONS, ENFORCED, MOST_DEPTH, MOST_SCHEMAS, check_schema


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"uniqueItems": True}, "uniqueItems at $"),
        ({"properties": {"a": {"items": {"contains": {}}}}}, "contains at $.properties.a.items"),
        ({"anyOf": [{}, {"not": {}}]}, "not at $.anyOf[1]"),
        ({"$defs": {"x": {"if": {}}}}, "if at $.$defs.x"),
        ({"patternProperties": {"^a": {"propertyNames": {}}}}, "propertyNames at $.patternProperties.^a"),
        ({"x-guidance": {"lenient": True}}, "x-guidance at $"),
        ({"nullable": True}, "nullable at $"),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named(schema: dict[str, Any], found: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_schema(schema)
    assert caught.value.error_type == "bad_grammar"
    assert str(caught.value) == f"guided_decoding_guide must hold no keyword that cannot be enforced, got {found}"


def test_a_property_may_have_the_name_of_any_keyword() -> None:
    check_schema({"properties": {name: True for name in ("not", "if", "uniqueItems", "x")}, "title": "t"})


def test_no_keyword_is_both_enforced_and_an_annotation() -> None:
    assert not ENFORCED & ANNOTATIONS


@pytest.mark.parametrize(
    ("schema", "limit"),
    [
        ({"items": [{}]}, "must hold a schema, an object or true or false, at $.items"),
        ({"properties": []}, "must hold an object as properties at $"),
        ({"anyOf": []}, "must hold a list of schemas as anyOf at $"),
        ({"pattern": "(a{1000}){1000}"}, "must repeat an atom at most 20000 times in the pattern at $"),
        ([], "must hold a schema, an object or true or false, at $"),
    ],
)
def test_what_is_no_schema_is_refused_where_it_stands(schema: object, limit: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_schema(schema)
    assert caught.value.limit == limit


@pytest.mark.parametrize("required", [[], ["a"], ["a", "b"]], ids=len)
def test_a_least_number_of_properties_is_no_more_than_keys_can_be_told_apart(required: list[str]) -> None:
    schema: dict[str, Any] = {"required": required, "additionalProperties": True}
    check_schema({**schema, "minProperties": len(required) + 1})
    with pytest.raises(RequestError, match="minProperties of at most one more than the keys that are required at"):
        check_schema({"items": {**schema, "minProperties": len(required) + 2}})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def test_depth_and_number_of_schemas_are_bounded() -> None:
    check_schema(nested(MOST_DEPTH))
    with pytest.raises(RequestError, match=f"at most {MOST_DEPTH} deep"):
        check_schema(nested(MOST_DEPTH + 1))
    many = {"properties": {str(at): True for at in range(MOST_SCHEMAS - 1)}}
    check_schema(many)
    many["properties"]["one more"] = True
    with pytest.raises(RequestError, match=f"at most {MOST_SCHEMAS} schemas"):
        check_schema(many)
