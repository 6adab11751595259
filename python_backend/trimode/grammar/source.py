"""From what a request says of its answer's form to the text of a grammar. Knows nothing of tokens.

Whitespace in JSON is bounded: where it is free, a model that is unsure fills its answer with blanks. It is not fixed
either: a model that learned to indent JSON gets little right without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import any_to_lark

from ..api.guide import MAX_GUIDE_CHARACTERS, OF_JSON, GuideType
from .refusal import bad_grammar
from .schemas.limits import write_limits
from .schemas.schema_check import check_schema
from .schemas.structural_tag import structural_tag
from .schemas.weights import MOST_REPEATS, weight

MOST_CHOICES = 1_024
BLANKS = r"( |\n {0,16})?"
"""Between the parts of JSON: nothing, a space, or a line's end and an indentation of at most eight levels of two."""
COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""How JSON is laid out without whitespace."""
JSON_LAYOUT = {
    "whitespace_flexible": True,
    "whitespace_pattern": BLANKS,
    "item_separator": ",",
    "key_separator": ":",
}


class Source(NamedTuple):
    """What a request says: one of GUIDE_TYPES, and the text that goes with it; "" for `json`.

    `compact` says that JSON has no whitespace between its parts.
    """

    kind: GuideType
    text: str
    compact: bool = False


def grammar_text(source: Source) -> str:
    """Return the grammar as the library reads it.

    Raises:
        RequestError: it is too large, not of its kind, or asks for what cannot be enforced.
    """
    if len(source.text) > MAX_GUIDE_CHARACTERS:
        raise bad_grammar(f"must be at most {MAX_GUIDE_CHARACTERS} characters", f"{len(source.text)} characters")
    if source.kind in OF_JSON:
        schema = {"type": "object"} if source.kind == "json" else _schema(source.text)
        layout: Any = COMPACT if source.compact else JSON_LAYOUT
        try:
            return LLMatcher.grammar_from_json_schema(schema, overrides=layout)
        except ValueError as exc:  # an integer of more than 64 bits
            raise bad_grammar("must be a schema that the grammar library reads", str(exc)[:200]) from exc
    return _KINDS[source.kind](source.text)


def _schema(text: str) -> dict[str, Any]:
    schema = _read_json(text)
    check_schema(schema)
    write_limits(schema)
    if isinstance(schema, bool):
        if not schema:
            raise bad_grammar("must be a schema that some value fits", "false")
        schema = {}
    assert isinstance(schema, dict)
    return schema


def _regex(text: str) -> str:
    if (found := weight(text)) > MOST_REPEATS:
        raise bad_grammar(f"must repeat an atom at most {MOST_REPEATS} times", str(found))
    return LLMatcher.grammar_from_regex(text)


def _choice(text: str) -> str:
    choices = _read_json(text)
    texts = choices if isinstance(choices, list) else []
    if not all(isinstance(one, str) and one for one in texts) or not 1 <= len(texts) <= MOST_CHOICES:
        raise bad_grammar(f"must be a JSON list of 1 to {MOST_CHOICES} texts, none of them empty", text[:80])
    return LLMatcher.grammar_from_regex("|".join(map(_literally, dict.fromkeys(texts))))


def _literally(text: str) -> str:
    """Return an expression that fits `text` alone."""
    return "".join(char if char.isalnum() else f"\\x{{{ord(char):X}}}" for char in text)


def _ebnf(text: str) -> str:
    if (found := weight(text)) > MOST_REPEATS:
        raise bad_grammar(f"must repeat a rule at most {MOST_REPEATS} times", str(found))
    try:
        return LLMatcher.grammar_from_lark(any_to_lark(text))
    except Exception as exc:  # the library's translator fails in many ways
        raise bad_grammar("must be a grammar in the notation of Lark or GBNF", str(exc)[:200]) from exc


def _structural_tag(text: str) -> str:
    return LLMatcher.grammar_from_lark(structural_tag(_read_json(text), JSON_LAYOUT))


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise bad_grammar("must be valid JSON", str(exc)[:80]) from exc


_KINDS: dict[GuideType, Callable[[str], str]] = {
    "regex": _regex,
    "choice": _choice,
    "ebnf_grammar": _ebnf,
    "structural_tag": _structural_tag,
}
