"""Guides that nobody can enforce, or that are none: each must be refused before anything is generated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

from trimode.api.guide import GuideType

from .guides import Schemas

KEYWORDS: Mapping[str, Any] = {
    "uniqueItems": True,
    "contains": {"const": 1},
    "not": {"type": "null"},
    "if": {"type": "string"},
    "propertyNames": {"pattern": "^a"},
    "dependentRequired": {"a": ["b"]},
    "unevaluatedProperties": False,
    "$dynamicRef": "#node",
    "größe": 1,
}
"""Keywords of JSON Schema that are not enforced, and a word that is none."""
SCHEMAS = (
    "{",
    "[]",
    "false",
    "null",
    '{"type": "text"}',
    '{"$ref": "https://example.org/schema"}',
    '{"$ref": "#/$defs/nowhere"}',
    '{"type": "integer", "minimum": 2, "maximum": 1}',
    '{"type": "string", "pattern": "(?=a)b"}',
    '{"type": "string", "pattern": "("}',
    '{"anyOf": []}',
    '{"enum": []}',
    '{"type": "string", "format": "of nobody"}',
    '{"type": "array", "items": [{"type": "null"}]}',
    '{"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 2}',
    '{"type": "object", "properties": {"a": {"type": "null"}}, "minProperties": 1}',
)
EXPRESSIONS = ("(?=a)b", "a(?!b)", "(?<=a)b", r"(a)\1", "(", "a{1000}{1000}", "[z-a]", "*a", r"\q")
GRAMMARS = ("start: nowhere\n", "start: (\n", "no grammar at all", 'start: "a" start\n', "root ::= nowhere\n", "\n")
CHOICES = ("[]", '[""]', '{"a": 1}', "[1]", "a", " ")
OTHERS: Mapping[GuideType, tuple[str, ...]] = {"regex": EXPRESSIONS, "ebnf_grammar": GRAMMARS, "choice": CHOICES}


class Unsupported(NamedTuple):
    """What a request asks for."""

    kind: GuideType
    guide: str


def unsupported(seed: int) -> Unsupported:
    """Return the guide of a number."""
    chance = Random(seed)
    kind: GuideType = chance.choice(("json_schema", "json_schema", "json_schema", "regex", "ebnf_grammar", "choice"))
    if kind != "json_schema":
        return Unsupported(kind, chance.choice(OTHERS[kind]))
    if chance.random() < 0.4:
        return Unsupported(kind, chance.choice(SCHEMAS))
    schema = Schemas(chance).any(2)
    name = chance.choice([*KEYWORDS])
    chance.choice([*_objects(schema)])[name] = KEYWORDS[name]
    return Unsupported(kind, json.dumps(schema))


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas in `schema`, itself first."""
    found = [schema]
    for name in ("items", "additionalProperties"):
        found += _objects(schema[name]) if isinstance(schema.get(name), dict) else []
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        found += [one for inside in schema.get(name, ()) for one in _objects(inside)]
    for name in ("properties", "patternProperties"):
        found += [one for inside in schema.get(name, {}).values() for one in _objects(inside)]
    return found
