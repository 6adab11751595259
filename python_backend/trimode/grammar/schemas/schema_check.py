"""Holds a JSON schema to what can be enforced: known keywords, bounded depth and size. Knows no grammar library.

JSON Schema lets an implementation pass over keywords that it does not know. Here each is refused, so that no answer
breaks what its schema says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..refusal import bad_grammar
from .weights import MOST_REPEATS, weight

MOST_DEPTH = 48
"""Schemas inside of each other; the library's own reader ends at about 60 arrays."""
MOST_SCHEMAS = 2_000
"""Schemas in one; the time to compile grows with the square of the properties of an object: 2,000 take 0.7 s."""
ENFORCED = frozenset((
    *("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions"),
    *("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
    *("items", "prefixItems", "minItems", "maxItems"),
    *("minLength", "maxLength", "pattern", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
))  # fmt: skip
"""Keywords that every answer keeps."""
ANNOTATIONS = frozenset((
    *("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"),
    *("readOnly", "writeOnly", "contentEncoding", "contentMediaType", "discriminator"),
))  # fmt: skip
"""Keywords that say nothing of which values fit."""
OF_NAMES = ("properties", "patternProperties", "$defs", "definitions")
OF_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
OF_ONE = ("items", "additionalProperties")


def check_schema(schema: object) -> None:
    """Refuse a schema that cannot be enforced as a whole.

    Raises:
        RequestError: the message names the keyword and where it is.
    """
    count = 0
    for path, depth, one in schemas_in(schema):
        count += 1
        if depth > MOST_DEPTH:
            raise bad_grammar(f"must nest schemas at most {MOST_DEPTH} deep", f"more at {path[:200]}")
        if count > MOST_SCHEMAS:
            raise bad_grammar(f"must hold at most {MOST_SCHEMAS} schemas", "more")
        if isinstance(one, bool):
            continue
        if not isinstance(one, dict):
            raise bad_grammar(f"must hold a schema, an object or true or false, at {path}", repr(one)[:80])
        _check_keywords(path, one)


def _check_keywords(path: str, schema: dict[str, Any]) -> None:
    for name, value in schema.items():
        if name not in ENFORCED and name not in ANNOTATIONS:
            raise bad_grammar("must hold no keyword that cannot be enforced", f"{name} at {path}")
        if name in OF_NAMES and not isinstance(value, dict):
            raise bad_grammar(f"must hold an object as {name} at {path}", repr(value)[:80])
        if name in OF_LISTS and not (isinstance(value, list) and value):
            raise bad_grammar(f"must hold a list of schemas as {name} at {path}", repr(value)[:80])
    _check_least(path, schema)
    patterns = [schema.get("pattern"), *schema.get("patternProperties", ())]
    for pattern in patterns:
        if isinstance(pattern, str) and (found := weight(pattern)) > MOST_REPEATS:
            raise bad_grammar(f"must repeat an atom at most {MOST_REPEATS} times in the pattern at {path}", str(found))


def _check_least(path: str, schema: dict[str, Any]) -> None:
    """Refuse a number of properties that one key could reach by coming again: a grammar knows no keys that came."""
    least, required = schema.get("minProperties"), schema.get("required", ())
    if isinstance(least, int) and isinstance(required, list | tuple) and least > len(required) + 1:
        limit = f"must hold a minProperties of at most one more than the keys that are required at {path}"
        raise bad_grammar(limit, str(least))


def schemas_in(schema: object) -> Iterator[tuple[str, int, object]]:
    """Give each schema in `schema`, itself first: where it is, how deep, and what it is."""
    waiting = [("$", 0, schema)]
    while waiting:
        path, depth, one = waiting.pop()
        yield path, depth, one
        if not isinstance(one, dict):
            continue
        for name in OF_NAMES:
            inside = one.get(name)
            if isinstance(inside, dict):
                waiting += [(f"{path}.{name}.{key}", depth + 1, value) for key, value in inside.items()]
        for name in OF_LISTS:
            inside = one.get(name)
            if isinstance(inside, list):
                waiting += [(f"{path}.{name}[{at}]", depth + 1, value) for at, value in enumerate(inside)]
        waiting += [(f"{path}.{name}", depth + 1, one[name]) for name in OF_ONE if name in one]
