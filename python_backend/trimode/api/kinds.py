"""The kinds of values that fields take: a value in its kind's own type, or an error that says what was expected.

Knows nothing of what a field means.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Described, RequestError
from .field import Field, Kind

MAX_TEXT_CHARACTERS = 1_000_000
MAX_INPUT_IDS = 262_144  # the longest context of the family


def expect(field: Field, value: object, kind: type, limit: str) -> Any:
    """Return `value` if it is of the type `kind`; raise a RequestError that says `limit` otherwise."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestError(field.name, limit, value, error_type="wrong_type")
    return value


def as_number(field: Field, value: object) -> float:
    """Return a finite number in the field's range."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(field.name, "must be a number", value, error_type="wrong_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(field.name, "must be finite", value)
    return float(in_range(field, value))


def in_range(field: Field, value: Any) -> Any:
    """Return `value` if it is in the field's range."""
    below = field.low is not None and value < field.low
    above = field.high is not None and value > field.high
    if below or above:
        raise RequestError(field.name, f"must be between {field.low} and {field.high}", value)
    return value


def as_text(field: Field, value: object) -> str:
    """Return a text of valid Unicode that is no longer than the field takes."""
    text: str = expect(field, value, str, "must be a string")
    most = MAX_TEXT_CHARACTERS if field.most_characters is None else field.most_characters
    if len(text) > most:
        raise RequestError(field.name, f"must be at most {most} characters", Described(f"{len(text)} characters"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise RequestError(field.name, "must be valid Unicode text", text, error_type="bad_utf8") from exc
    return text


def as_list(field: Field, value: object) -> list[object]:
    """Return a list; Triton writes a list of one as its item, so that an item alone is read as one."""
    if field.kind != "json" and isinstance(value, str | int):
        return [value]
    if not isinstance(value, list | tuple):
        raise RequestError(field.name, "must be a list", value, error_type="wrong_type")
    if not value:
        raise RequestError(field.name, "must not be empty", value)
    return list(value)


def as_integers(field: Field, value: object) -> tuple[int, ...]:
    """Return integers, each in the field's range."""
    items = as_list(field, value)
    if len(items) > MAX_INPUT_IDS:
        raise RequestError(field.name, f"may hold at most {MAX_INPUT_IDS} ids", Described(f"{len(items)} ids"))
    return tuple(in_range(field, expect(field, item, int, "must hold integers")) for item in items)


def as_texts(field: Field, value: object) -> tuple[str, ...]:
    """Return texts."""
    return tuple(as_text(field, item) for item in as_list(field, value))


def as_json_list(field: Field, value: object) -> list[object]:
    """Return a JSON list, given as text or as the list itself."""
    return as_list(field, _parsed(field, value))


def as_json_object(field: Field, value: object) -> Mapping[object, object]:
    """Return a JSON object, given as text or as the object itself."""
    found = _parsed(field, value)
    if not isinstance(found, Mapping):
        raise RequestError(field.name, "must be an object", found, error_type="wrong_type")
    return found


def _parsed(field: Field, value: object) -> object:
    """Return what a text of JSON holds; what is no text comes back as it is."""
    if not isinstance(value, str):
        return value
    text = as_text(field, value)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RequestError(field.name, f"must be valid JSON ({exc})", text, error_type="bad_json") from exc


KINDS: dict[Kind, Callable[[Field, object], Any]] = {
    "bool": lambda field, value: expect(field, value, bool, "must be true or false"),
    "int": lambda field, value: in_range(field, expect(field, value, int, "must be an integer")),
    "float": as_number,
    "string": as_text,
    "strings": as_texts,
    "ints": as_integers,
    "json": as_json_list,
    "object": as_json_object,
}
"""What reads the values of each kind; each takes the field and the value, and raises a RequestError."""
