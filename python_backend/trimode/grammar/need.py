"""Need: the most tokens that a text may need at once to be ended, where a grammar says so. Knows no grammar library.

Near the end of an answer each token is checked for whether the text can still end after it. Far from it nothing has
to be looked at: further than what the whole of the grammar's parts take in their shortest form. Each token stands for a
byte at least, so that bytes bound tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from .source import Source

MOST = 256
"""What is assumed at least where it is not known, as for free JSON, which nests without end, and for expressions."""
SLACK = 16
"""Tokens beside it: what just begins may be written otherwise than shortest."""
NUMBER, FORMAT = 24, 64
"""Bytes of the longest shortest number without its limits, and of a text of a named format."""
CHOOSING = ("$ref", "anyOf", "oneOf", "allOf")
"""Keywords whose schemas hold beside what else a schema says."""
SAYING_NOTHING = frozenset(
    (
        *("$defs", "definitions", "$schema", "$id", "$anchor", "$comment", "title", "description"),
        *("default", "example", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"),
    )
)
"""Keywords that ask for nothing."""
OF_OBJECTS = frozenset(("properties", "required", "additionalProperties"))
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class _UnknownError(Exception):
    """No bound is known."""


def most_needed(source: Source, shortest: Sequence[int] | None = None) -> int:
    """Return how many tokens any beginning of a text needs at most to be ended.

    Args:
        shortest: the shortest text known; where no bound is known, at least so many tokens are assumed, and MOST.
    """
    try:
        if source.kind in _BYTES:
            return _BYTES[source.kind](source.text) + SLACK
    except _UnknownError:
        pass
    return max(MOST, len(shortest or ()) + SLACK)


def _of_choice(text: str) -> int:
    return max(len(one.encode()) for one in json.loads(text))


def _of_json_schema(text: str) -> int:
    schema = json.loads(text)
    return _Bound(schema).of(schema)


class _Bound:
    """Bytes of a text in which everything is that may be, each in its shortest form. Raises where these have no end."""

    def __init__(self, root: object, inside: tuple[str, ...] = (), *, joined: bool = False) -> None:
        """Take where references are looked up.

        Args:
            inside: the references that lead here; one that leads to itself has no end.
            joined: whether something else holds at the same place. What both ask for is their sum, unless one says how
                often, and the other what.
        """
        self._root, self._inside, self._joined = root, inside, joined

    def of(self, schema: object) -> int:
        if not isinstance(schema, Mapping):
            raise _UnknownError
        if "const" in schema or "enum" in schema:
            return max(len(json.dumps(one)) for one in (schema.get("enum") or [schema.get("const")]))
        own = {name: value for name, value in schema.items() if name not in SAYING_NOTHING}
        chosen = {name: own.pop(name) for name in CHOOSING if name in own}
        count = len(chosen) + bool(own) + max(0, len(chosen.get("allOf", ())) - 1)
        bound = _Bound(self._root, self._inside, joined=True) if count > 1 else self
        size = bound._of_chosen(chosen)
        if own or not chosen:
            size += bound._of_own(own, beside=bool(chosen))
        return size

    def _of_chosen(self, chosen: Mapping[str, Any]) -> int:
        size = sum(max(map(self.of, chosen[name]), default=0) for name in ("anyOf", "oneOf") if name in chosen)
        size += sum(map(self.of, chosen.get("allOf", ())))
        if "$ref" in chosen:
            name = str(chosen["$ref"])
            if name in self._inside or not name.startswith("#/"):
                raise _UnknownError
            there = _Bound(self._root, (*self._inside, name), joined=self._joined)
            size += there.of(_at(self._root, name[2:].split("/")))
        return size

    def _of_own(self, own: Mapping[str, Any], *, beside: bool) -> int:
        """Return the same of what a schema says itself, `beside` others that may say of what type the text is."""
        if "type" in own:
            kinds = [own["type"]] if isinstance(own["type"], str) else own["type"]
            return max((self._of_kind(kind, own) for kind in kinds), default=0)
        if not beside or not own.keys() <= OF_OBJECTS:
            raise _UnknownError
        return self._of_object({"additionalProperties": False, **own})

    def _of_kind(self, kind: str, schema: Mapping[str, Any]) -> int:
        if kind == "object":
            return self._of_object(schema)
        if kind == "array":
            return self._of_array(schema)
        if kind == "string":
            if "pattern" in schema:
                raise _UnknownError
            return max(FORMAT if "format" in schema else 0, 2 + int(schema.get("minLength", 0)))
        if kind in ("number", "integer"):
            return NUMBER + sum(_digits(schema[name]) for name in LIMITS if name in schema)
        return NUMBER

    def _of_array(self, schema: Mapping[str, Any]) -> int:
        first, items = schema.get("prefixItems", ()), schema.get("items", True)
        if self._joined:
            raise _UnknownError
        count = max(1, int(schema.get("minItems", 0)))
        rest = 0 if items is False else count * self.of(items)
        return 2 + sum(map(self.of, first)) + count + len(first) + rest

    def _of_object(self, schema: Mapping[str, Any]) -> int:
        if schema.get("minProperties") or "patternProperties" in schema:
            raise _UnknownError
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        size = 2 + sum(_key(name) + self.of(one) for name, one in known.items())
        if more is False:
            return size
        if self._joined:
            raise _UnknownError
        others = ["", *(name for name in schema.get("required", ()) if name not in known)]
        return size + sum(map(_key, others)) + len(others) * self.of(more)


def _key(name: str) -> int:
    """Return the bytes of a key with its colon and comma."""
    return len(json.dumps(name)) + 2


def _digits(limit: float) -> int:
    """Return how many characters a number has that is written without an exponent."""
    if not math.isfinite(limit):
        raise _UnknownError
    return len(f"{Decimal(str(limit)):f}")


def _at(root: object, names: list[str]) -> object:
    for name in names:
        if not isinstance(root, Mapping) or name not in root:
            raise _UnknownError
        root = root[name]
    return root


_BYTES: dict[str, Callable[[str], int]] = {"choice": _of_choice, "json_schema": _of_json_schema}
