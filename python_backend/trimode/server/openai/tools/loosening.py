"""Leaves out of a schema what no grammar enforces, for calls that the model begins. Knows no tools and no forms."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from llguidance import LLMatcher

from ....grammar.schemas.weights import MOST_REPEATS, weight

KEPT = 256
"""Schemas whose result is kept: two requests of as many tools as there may be. They take 32 MB at most."""
_BESIDE = ("$defs", "definitions", "x-guidance")
"""What the schema of an argument may need beside it."""


@lru_cache(maxsize=KEPT)
def loosened(text: str) -> str:
    """Return a schema of arguments, as JSON, without what cannot be enforced.

    Each argument whose schema cannot be enforced may have any value. Where something else than an argument cannot be,
    no more is left than names and types of arguments; where even that cannot be, arguments are any object.
    """
    if _is_enforced(text):
        return text
    schema = json.loads(text)
    beside = {name: schema[name] for name in _BESIDE if name in schema}
    said = schema.get("properties")
    named = said if isinstance(said, dict) else {}
    properties = {name: one if _is_argument(one, beside) else {} for name, one in named.items()}
    least = {"type": "object", **beside, "properties": properties}
    kept = {"required": schema["required"]} if "required" in schema else {}
    whole = {**schema, "properties": properties} if isinstance(said, dict) else least
    for one in (whole, {**least, **kept}, least):
        if _is_enforced(found := json.dumps(one)):
            return found
    return json.dumps({"type": "object", "x-guidance": schema.get("x-guidance", {})})


def _is_argument(schema: object, beside: dict[str, Any]) -> bool:
    """Whether the schema of one argument can be enforced, and fits some value."""
    return _is_enforced(json.dumps({"type": "object", **beside, "properties": {"a": schema}, "required": ["a"]}))


def _is_enforced(text: str) -> bool:
    if weight(text) > MOST_REPEATS:
        return False
    try:
        return not LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(f"start: %json {text}"))
    except ValueError:  # what the library cannot read
        return False
