"""Holds one value of a request against its field's row: kind, range, choices, and the check that the row names.

Knows nothing of how the fields of one request hang together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from ..errors import Described, RequestError
from .choice_fields import (
    MAX_BAD_CHARACTERS,
    MAX_BAD_WORD_CHARACTERS,
    MAX_BAD_WORDS,
    MAX_BIAS,
    MAX_BIASES,
    MAX_STOP_TOKENS,
)
from .field import Check, Field
from .fields import (
    BY_NAME,
    INT32_MAX,
    MAX_GAP_SIZES,
    MAX_GAPS,
    MAX_STOP_WORD_CHARACTERS,
    MAX_STOP_WORDS,
    Mode,
)
from .hints import HINTS
from .kinds import KINDS, as_number, as_text, expect, in_range
from .rows.images import Content, ImageSource, check_max_image_size, image_part

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
    if value is None or (field.empty_is_none and value in ("", [], (), [""], ("",), {})):
        return None
    checked = KINDS[field.kind](field, value)
    if field.choices and not (server_decides and field.more_choices):
        _chosen(field, checked, value)
    return CHECKS[field.check](field, checked) if field.check else checked


def unknown_field(name: str, value: object) -> RequestError:
    """Return the error about a name that is no field: with a hint if other servers have it, or if it is misspelt."""
    near = get_close_matches(name, BY_NAME, n=1, cutoff=MISSPELT)
    hint = HINTS.get(name.lower()) or (f"did you mean {near[0]}?" if near else "")
    return RequestError(name, "is not a field of this model", value, error_type="unknown_field", hint=hint)


def _gap_sizes(field: Field, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of a gap to try, each once, the smallest first."""
    once = tuple(sorted(set(sizes)))
    if len(once) > MAX_GAP_SIZES:
        raise RequestError(field.name, f"may hold at most {MAX_GAP_SIZES} sizes", Described(f"{len(once)} sizes"))
    return once


def _stop_words(field: Field, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > MAX_STOP_WORDS:
        raise RequestError(field.name, f"may hold at most {MAX_STOP_WORDS} texts", Described(f"{len(words)} texts"))
    for word in words:
        if not 1 <= len(word) <= MAX_STOP_WORD_CHARACTERS:
            raise RequestError(field.name, f"must hold texts of 1 to {MAX_STOP_WORD_CHARACTERS} characters", word)
    return words


def _bad_words(field: Field, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > MAX_BAD_WORDS:
        raise RequestError(field.name, f"may hold at most {MAX_BAD_WORDS} texts", Described(f"{len(words)} texts"))
    for word in words:
        if not 1 <= len(word) <= MAX_BAD_WORD_CHARACTERS:
            raise RequestError(field.name, f"must hold texts of 1 to {MAX_BAD_WORD_CHARACTERS} characters", word)
    if (characters := sum(map(len, words))) > MAX_BAD_CHARACTERS:
        limit = f"may hold at most {MAX_BAD_CHARACTERS} characters in all"
        raise RequestError(field.name, limit, Described(f"{characters} characters"))
    return tuple(dict.fromkeys(words))


def _stop_token_ids(field: Field, ids: tuple[int, ...]) -> tuple[int, ...]:
    once = tuple(dict.fromkeys(ids))
    if len(once) > MAX_STOP_TOKENS:
        raise RequestError(field.name, f"may hold at most {MAX_STOP_TOKENS} ids", Described(f"{len(once)} ids"))
    return once


def _logit_bias(field: Field, bias: Mapping[object, object]) -> dict[int, float]:
    """Return the bias of each token by its id, which JSON writes as a text."""
    if len(bias) > MAX_BIASES:
        raise RequestError(field.name, f"may hold at most {MAX_BIASES} tokens", Described(f"{len(bias)} tokens"))
    of_ids = replace(field, low=0, high=INT32_MAX)
    of_values = replace(field, low=-MAX_BIAS, high=MAX_BIAS)
    checked = {}
    for key, value in bias.items():
        number = key
        if isinstance(key, str):
            if not (key.isascii() and key.isdecimal() and len(key) <= len(str(INT32_MAX))):
                raise RequestError(field.name, "must have token ids as its keys", key)
            number = int(key)
        token = in_range(of_ids, expect(field, number, int, "must have token ids as its keys"))
        checked[token] = as_number(replace(of_values, name=f"{field.name}.{token}"), value)
    return checked


def _segments(field: Field, items: list[object]) -> tuple[str | int | None, ...]:
    """Return strings and, for each gap, its size in tokens or None."""
    checked: list[str | int | None] = []
    for item in items:
        if isinstance(item, str):
            checked.append(as_text(field, item))
        elif isinstance(item, Mapping) and not set(item) - {"infill_tokens"}:
            checked.append(check_field("infill_tokens", item.get("infill_tokens")))
        else:
            raise RequestError(field.name, "must hold strings and objects with the key infill_tokens or none", item)
    gaps = sum(not isinstance(item, str) for item in checked)
    if not 1 <= gaps <= MAX_GAPS:
        raise RequestError(field.name, f"must hold 1 to {MAX_GAPS} gaps", Described(f"{gaps} gaps"))
    return tuple(checked)


def _messages(field: Field, messages: list[object]) -> tuple[Mapping[str, Content], ...]:
    """Return messages: the role developer as system, parts of text as one text where no picture stands among them."""
    checked: list[Mapping[str, Content]] = []
    for at, given in enumerate(messages):
        message = _from_json(given) if isinstance(given, str) else given
        if not isinstance(message, Mapping) or set(message) - {"role", "content"} or "role" not in message:
            raise RequestError(field.name, "must hold objects with the keys role and content", message)
        role = message["role"]
        if role not in ROLES:
            raise RequestError(f"messages[{at}].role", "must be system, user or assistant", role)
        content = _content_of(at)
        said = message.get("content", Described("nothing"))
        if isinstance(said, list):
            said = _joined(content, [_part(content, number, part) for number, part in enumerate(said)])
        elif isinstance(said, Described) or not isinstance(said, str):
            limit = "must be a string, or a list of parts of text"
            raise RequestError(content.name, limit, said, error_type="wrong_type")
        else:
            said = as_text(content, said)
        if not isinstance(said, str) and role != "user":
            limit = "must hold no picture: those of the user's messages are read"
            raise RequestError(content.name, limit, Described(f"one of the role {role}"), error_type="not_applicable")
        checked.append({"role": "system" if role == "developer" else role, "content": said})
    return tuple(checked)


@lru_cache(64)
def _content_of(at: int) -> Field:
    """Return the row that the content of message number `at` is held against."""
    return replace(BY_NAME["messages"], name=f"messages[{at}].content", most_characters=None)


def _from_json(text: str) -> object:
    """Return the message that a text holds as JSON: Triton's own HTTP takes lists of texts, and none of objects."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _joined(content: Field, parts: list[str | ImageSource]) -> Content:
    """Return what a message says: one text, or texts and pictures in their order."""
    texts = as_text(content, "".join(one for one in parts if isinstance(one, str)))
    return tuple(parts) if any(isinstance(one, ImageSource) for one in parts) else texts


def _part(content: Field, number: int, part: object) -> str | ImageSource:
    """Return the text of one part of a message, or its picture."""
    name = f"{content.name}[{number}]"
    if not isinstance(part, Mapping) or "type" not in part:
        raise RequestError(name, "must be an object with the keys type and text", part, error_type="wrong_type")
    if (image := image_part(name, part)) is not None:
        return image
    if part["type"] != "text":
        raise RequestError(f"{name}.type", "must be text, image_url or image", part["type"])
    if set(part) != {"type", "text"}:
        raise RequestError(name, "must hold the keys type and text", part)
    return as_text(replace(content, name=f"{name}.text"), part["text"])


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


CHECKS: dict[Check, Callable[[Field, Any], Any]] = {
    "mode": lambda field, value: Mode(value),
    "distinct": lambda field, items: tuple(dict.fromkeys(items)),
    "messages": _messages,
    "segments": _segments,
    "spans": _spans,
    "stop_words": _stop_words,
    "gap_sizes": _gap_sizes,
    "bad_words": _bad_words,
    "logit_bias": _logit_bias,
    "stop_token_ids": _stop_token_ids,
    "image_size": lambda field, value: check_max_image_size(field.name, value),
}
"""What a row of the table may name; each takes the field and the value that passed its kind's check."""
