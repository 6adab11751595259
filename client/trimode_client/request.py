"""One request: the prompt and the knobs, checked against the server's own table of fields before anything is sent.

Knows names, types and ranges (trimode.api.fields.FIELDS); the server decides which knobs go together, and which reveal
rules there are.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from trimode.api.checks import check_field
from trimode.api.fields import BY_NAME, INT32_MAX
from trimode.errors import RequestError

from .errors import InvalidRequestError, typed_error
from .images import with_images
from .knobs import ALWAYS_RETURNED, KNOBS

Message = Mapping[str, object]
"""A chat message: its role and its content."""

Segment = str | Mapping[str, int]
_ON_THE_WIRE = {"question": "messages", "left": "text_input"}  # arguments whose field has another name


def build(
    question: str | None,
    messages: Sequence[Message] | None,
    text_input: str | None,
    input_ids: Sequence[int] | None,
    knobs: Mapping[str, Any],
    *,
    stream: bool,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return the fields of a request for an answer by their names on the wire; knobs that are None are left out.

    `question` is sent as the only message of a chat. `timeout` (seconds) is sent to the server too, as timeout_ms, so
    that it stops when the client gives up.

    Raises:
        InvalidRequestError: no prompt or several, an unknown knob, a value of the wrong type or out of range.
    """
    if "prompt" in knobs and text_input is None:  # what 0.1.0 called it
        warnings.warn("prompt is now called text_input", DeprecationWarning, stacklevel=3)
        text_input, knobs = knobs["prompt"], {name: value for name, value in knobs.items() if name != "prompt"}
    fields = _only_one(question=question, messages=messages, text_input=text_input, input_ids=input_ids)
    if question is not None:
        if not isinstance(question, str):
            kind = type(question).__name__
            raise InvalidRequestError("wrong_type", f"the question must be a string, got {kind}; or give messages=")
        fields["messages"] = [{"role": "user", "content": question}]
    return _checked(fields, knobs, stream=stream, timeout=timeout)


def build_infill(
    left: str | None,
    right: str | None,
    messages: Sequence[Message] | None,
    segments: Sequence[Segment] | None,
    knobs: Mapping[str, Any],
    *,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return the fields of a request to fill gaps, as `build` does; without `right` nothing follows the gap.

    Raises:
        InvalidRequestError: as for `build`; also where both `right` and `segments` are given.
    """
    fields = _only_one(left=left, messages=messages, segments=segments)
    if segments is None:
        fields["suffix"] = "" if right is None else right
    elif right is not None:
        raise InvalidRequestError("bad_prompt", "right does not go together with segments, which hold the whole text")
    return _checked(fields, knobs, stream=False, timeout=timeout)


def build_revise(text: str, knobs: Mapping[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
    """Return the fields of a request to revise a text, as `build` does.

    Raises:
        InvalidRequestError: as for `build`.
    """
    return _checked(_only_one(text=text), knobs, stream=False, timeout=timeout)


def _only_one(**prompts: object) -> dict[str, Any]:
    """Return the only prompt that is not None, under its name on the wire."""
    given = {name: value for name, value in prompts.items() if value is not None}
    if len(given) != 1:
        message = f"give exactly one of {', '.join(prompts)}, got {', '.join(given) or 'none'}"
        raise InvalidRequestError("bad_prompt", message)
    return {_ON_THE_WIRE.get(name, name): value for name, value in given.items()}


def _checked(
    prompt: Mapping[str, Any], knobs: Mapping[str, Any], *, stream: bool, timeout: float | None
) -> dict[str, Any]:
    images = knobs.get("images")
    fields = dict(prompt) if images is None else with_images(prompt, images)
    for name, value in knobs.items():
        if name == "images":
            continue
        if name not in KNOBS:
            raise InvalidRequestError("unknown_field", f"{name} is not a knob; known are {', '.join(KNOBS)}")
        if value is not None:
            fields[name] = value
    if timeout is not None:
        fields.setdefault("timeout_ms", min(max(1, math.ceil(timeout * 1000)), INT32_MAX))
    checked = {name: _check(name, value) for name, value in fields.items()}
    given = {name: value for name, value in checked.items() if value is not None}  # an empty list may mean none
    return {**given, "stream": stream, **dict.fromkeys(ALWAYS_RETURNED, True)}


def _check(name: str, value: object) -> Any:
    try:
        checked = check_field(name, value, server_decides=True)
    except RequestError as exc:
        raise typed_error(exc.error_type, str(exc)) from exc
    if checked is None:
        return None
    match BY_NAME[name].kind:
        case "json" | "object":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=dict)
        case "strings" | "ints":
            return list(checked)
        case "string":
            return str(checked)
    return checked
