"""Need: the most tokens that a text may need at once to be ended, where a grammar says so. Knows no grammar library.

Near the end of an answer each token is checked for whether the text can still end after it. Far from it nothing has
to be looked at: further than what the whole of the grammar's parts take in their shortest form. Each token stands for a
byte at least, so that bytes bound tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .source import Source

MOST = 256
"""What is assumed where it is not known, as for free JSON, which can be nested without end, and for expressions."""
SLACK = 16
"""Tokens beside it: what just begins may be written otherwise than shortest."""
NUMBER, FORMAT = 24, 64
"""Bytes of the longest shortest number, and of a text of a named format."""


class _UnknownError(Exception):
    """No bound is known."""


def most_needed(source: Source) -> int:
    """Return how many tokens any beginning of a text needs at most to be ended; MOST where no bound is known."""
    try:
        found = _BYTES[source.kind](source.text) if source.kind in _BYTES else MOST
    except _UnknownError:
        return MOST
    return min(MOST, found + SLACK)


def _of_choice(text: str) -> int:
    return max(len(one.encode()) for one in json.loads(text))


def _of_json_schema(text: str) -> int:
    schema = json.loads(text)
    return _of_schema(schema, schema, ())


def _of_schema(schema: object, root: object, inside: tuple[str, ...]) -> int:
    """Return the bytes of a text in which everything is that may be, each in its shortest form.

    Args:
        inside: the references that lead here; one that leads to itself has no end.
    """
    if not isinstance(schema, Mapping):
        raise _UnknownError
    if "$ref" in schema:
        name = str(schema["$ref"])
        if name in inside or not name.startswith("#/"):
            raise _UnknownError
        return _of_schema(_at(root, name[2:].split("/")), root, (*inside, name))
    if "const" in schema or "enum" in schema:
        return max(len(json.dumps(one)) for one in (schema.get("enum") or [schema.get("const")]))

    def within(one: object) -> int:
        return _of_schema(one, root, inside)

    parts = sum(max(map(within, schema[name])) for name in ("anyOf", "oneOf") if name in schema)
    parts += sum(map(within, schema.get("allOf", ())))
    kinds = schema.get("type", () if parts else None)
    if kinds is None:
        raise _UnknownError
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return parts + max((_of_kind(kind, schema, within) for kind in kinds), default=0)


def _of_kind(kind: str, schema: Mapping[str, Any], within: Callable[[object], int]) -> int:
    if kind == "object":
        return _of_object(schema, within)
    if kind == "array":
        known = sum(map(within, schema.get("prefixItems", ())))
        items = schema.get("items")
        if items is None:
            raise _UnknownError
        count = max(1, int(schema.get("minItems", 0)))
        return 2 + known + count + len(schema.get("prefixItems", ())) + (count * within(items) if items else 0)
    if kind == "string":
        if "pattern" in schema:
            raise _UnknownError
        return FORMAT if "format" in schema else 2 + int(schema.get("minLength", 0))
    return NUMBER


def _of_object(schema: Mapping[str, Any], within: Callable[[object], int]) -> int:
    if schema.get("minProperties") or "patternProperties" in schema:
        raise _UnknownError
    size = 2 + sum(len(json.dumps(name)) + 2 + within(one) for name, one in schema.get("properties", {}).items())
    more = schema.get("additionalProperties", True)
    return size if more is False else size + 4 + within(more)


def _at(root: object, names: list[str]) -> object:
    for name in names:
        if not isinstance(root, Mapping) or name not in root:
            raise _UnknownError
        root = root[name]
    return root


_BYTES: dict[str, Callable[[str], int]] = {"choice": _of_choice, "json_schema": _of_json_schema}
