"""Holds one value of a request against its field's row: kind, range, choices, and the check that the row names.

Knows nothing of how the fields of one request hang together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NoReturn

from ..errors import Described, RequestError
from .field import Check, Field, Kind
from .fields import (
    BY_NAME,
    MAX_GAP_SIZES,
    MAX_GAPS,
    MAX_INPUT_IDS,
    MAX_STOP_WORD_CHARACTERS,
    MAX_STOP_WORDS,
    MAX_TEXT_CHARACTERS,
    Mode,
)
from .hints import HINTS

ROLES = ("system", "developer", "user", "assistant")
"""Roles of messages; developer is OpenAI's newer name for system."""
MISSPELT = 0.8
"""Likeness, as difflib has it, from which an unknown name is taken for a misspelt one: `max_token`, not `stop`."""


def check_field(name: str, value: object, *, server_decides: bool = False) -> Any:
    """Return `value` in the field's own type, None if it says nothing.

    Args:
        name: the field's name.
        value: the request's value for it.
        server_decides: accept any text for a field whose choices a server may extend, such as `reveal`. The client and
            the guard set this; the model knows all of its choices, and its refusal lists them.

    Raises:
        RequestError: the value is not what the field takes; the message says what was expected.
    """
    field = BY_NAME.get(name)
    if field is None:
        raise unknown_field(name, value)
    if value is None or (field.empty_is_none and value in ("", [], (), [""], ("",))):
        return None
    checked = _KINDS[field.kind](field, value)
    if field.choices and not (server_decides and field.more_choices):
        _chosen(field, checked, value)
    return CHECKS[field.check](field, checked) if field.check else checked


def unknown_field(name: str, value: object) -> RequestError:
    """Return the error about a name that is no field: with a hint if other servers have it, or if it is misspelt."""
    near = get_close_matches(name, BY_NAME, n=1, cutoff=MISSPELT)
    hint = HINTS.get(name.lower()) or (f"did you mean {near[0]}?" if near else "")
    return RequestError(name, "is not a field of this model", value, error_type="unknown_field", hint=hint)


def _expect(field: Field, value: object, kind: type, limit: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestError(field.name, limit, value, error_type="wrong_type")
    return value


def _number(field: Field, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(field.name, "must be a number", value, error_type="wrong_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(field.name, "must be finite", value)
    return float(_in_range(field, value))


def _in_range(field: Field, value: Any) -> Any:
    below = field.low is not None and value < field.low
    above = field.high is not None and value > field.high
    if below or above:
        raise RequestError(field.name, f"must be between {field.low} and {field.high}", value)
    return value


def _text(field: Field, value: object) -> str:
    text: str = _expect(field, value, str, "must be a string")
    most = MAX_TEXT_CHARACTERS if field.most_characters is None else field.most_characters
    if len(text) > most:
        raise RequestError(field.name, f"must be at most {most} characters", Described(f"{len(text)} characters"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise RequestError(field.name, "must be valid Unicode text", text, error_type="bad_utf8") from exc
    return text


def _list(field: Field, value: object) -> list[object]:
    """Return a list; Triton writes a list of one as its item, so that an item alone is read as one."""
    if field.kind != "json" and isinstance(value, str | int):
        return [value]
    if not isinstance(value, list | tuple):
        raise RequestError(field.name, "must be a list", value, error_type="wrong_type")
    if not value:
        raise RequestError(field.name, "must not be empty", value)
    return list(value)


def _integers(field: Field, value: object) -> tuple[int, ...]:
    items = _list(field, value)
    if len(items) > MAX_INPUT_IDS:
        raise RequestError(field.name, f"may hold at most {MAX_INPUT_IDS} ids", Described(f"{len(items)} ids"))
    return tuple(_in_range(field, _expect(field, item, int, "must hold integers")) for item in items)


def _gap_sizes(field: Field, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of a gap to try, each once, the smallest first."""
    once = tuple(sorted(set(sizes)))
    if len(once) > MAX_GAP_SIZES:
        raise RequestError(field.name, f"may hold at most {MAX_GAP_SIZES} sizes", Described(f"{len(once)} sizes"))
    return once


def _texts(field: Field, value: object) -> tuple[str, ...]:
    return tuple(_text(field, item) for item in _list(field, value))


def _stop_words(field: Field, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > MAX_STOP_WORDS:
        raise RequestError(field.name, f"may hold at most {MAX_STOP_WORDS} texts", Described(f"{len(words)} texts"))
    for word in words:
        if not 1 <= len(word) <= MAX_STOP_WORD_CHARACTERS:
            raise RequestError(field.name, f"must hold texts of 1 to {MAX_STOP_WORD_CHARACTERS} characters", word)
    return words


def _json(field: Field, value: object) -> list[object]:
    """Return a JSON list, given as text or as the list itself."""
    if isinstance(value, str):
        text = _text(field, value)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise RequestError(field.name, f"must be valid JSON ({exc})", text, error_type="bad_json") from exc
    return _list(field, value)


def _segments(field: Field, items: list[object]) -> tuple[str | int | None, ...]:
    """Return strings and, for each gap, its size in tokens or None."""
    checked: list[str | int | None] = []
    for item in items:
        if isinstance(item, str):
            checked.append(_text(field, item))
        elif isinstance(item, Mapping) and not set(item) - {"infill_tokens"}:
            checked.append(check_field("infill_tokens", item.get("infill_tokens")))
        else:
            raise RequestError(field.name, "must hold strings and objects with the key infill_tokens or none", item)
    gaps = sum(not isinstance(item, str) for item in checked)
    if not 1 <= gaps <= MAX_GAPS:
        raise RequestError(field.name, f"must hold 1 to {MAX_GAPS} gaps", Described(f"{gaps} gaps"))
    return tuple(checked)


def _messages(field: Field, messages: list[object]) -> tuple[Mapping[str, str], ...]:
    """Return messages as chat templates read them: the role developer as system, parts of text as one text."""
    checked = []
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) - {"role", "content"} or "role" not in message:
            raise RequestError(field.name, "must hold objects with the keys role and content", message)
        role = message["role"]
        if role not in ROLES:
            raise RequestError(f"messages[{at}].role", "must be system, user or assistant", role)
        content = replace(field, name=f"messages[{at}].content")
        given = message.get("content", Described("nothing"))
        if isinstance(given, list):
            given = "".join(_part(content, number, part) for number, part in enumerate(given))
        elif isinstance(given, Described) or not isinstance(given, str):
            limit = "must be a string, or a list of parts of text"
            raise RequestError(content.name, limit, given, error_type="wrong_type")
        checked.append({"role": "system" if role == "developer" else role, "content": _text(content, given)})
    return tuple(checked)


def _part(content: Field, number: int, part: object) -> str:
    """Return the text of one part of a message."""
    name = f"{content.name}[{number}]"
    if not isinstance(part, Mapping) or "type" not in part:
        raise RequestError(name, "must be an object with the keys type and text", part, error_type="wrong_type")
    if part["type"] != "text":
        raise RequestError(f"{name}.type", "must be text, which is all that this model reads", part["type"])
    if set(part) != {"type", "text"}:
        raise RequestError(name, "must hold the keys type and text", part)
    return _text(replace(content, name=f"{name}.text"), part["text"])


def _none_at_all(field: Field, words: tuple[str, ...]) -> NoReturn:
    limit = "must be empty, since no text can be forbidden; stop_words end an answer before a text"
    raise RequestError(field.name, limit, words, error_type="not_applicable")


def _spans(field: Field, items: list[object]) -> tuple[tuple[int, int], ...]:
    checked: list[tuple[int, int]] = []
    for item in items:
        if not (
            isinstance(item, list | tuple)
            and len(item) == 2
            and all(isinstance(end, int) and not isinstance(end, bool) for end in item)
        ):
            raise RequestError(field.name, "must hold pairs [start, end] of integers", item, error_type="wrong_type")
        start, end = item
        if not 0 <= start < end:
            raise RequestError(field.name, "must hold pairs with 0 <= start < end", item)
        if checked and start < checked[-1][1]:
            limit = f"must be in order and not overlap; the one before ends at {checked[-1][1]}"
            raise RequestError(field.name, limit, item)
        checked.append((start, end))
    return tuple(checked)


def _chosen(field: Field, checked: str | tuple[str, ...], given: object) -> None:
    """Raise unless the text, or each of the texts, is one of the field's choices."""
    if isinstance(checked, str):
        if checked not in field.choices:
            raise RequestError(field.name, "must be one of " + ", ".join(field.choices), given)
        return
    for item in checked:
        if item not in field.choices:
            raise RequestError(field.name, "may hold only " + ", ".join(field.choices), item)


_KINDS: dict[Kind, Callable[[Field, object], Any]] = {
    "bool": lambda field, value: _expect(field, value, bool, "must be true or false"),
    "int": lambda field, value: _in_range(field, _expect(field, value, int, "must be an integer")),
    "float": _number,
    "string": _text,
    "strings": _texts,
    "ints": _integers,
    "json": _json,
}
CHECKS: dict[Check, Callable[[Field, Any], Any]] = {
    "mode": lambda field, value: Mode(value),
    "distinct": lambda field, items: tuple(dict.fromkeys(items)),
    "messages": _messages,
    "segments": _segments,
    "spans": _spans,
    "stop_words": _stop_words,
    "gap_sizes": _gap_sizes,
    "none_at_all": _none_at_all,
}
"""What a row of the table may name; each takes the field and the value that passed its kind's check."""
