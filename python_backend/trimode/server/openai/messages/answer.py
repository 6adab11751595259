"""The answer to a message and its errors, in Anthropic's shapes."""

from __future__ import annotations

from typing import Any

from ..shared.choice import Choice
from ..shared.errors import FaceError
from ..tools.calls import Call
from ..tools.strict_json import loads

ERRORS = {401: "authentication_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
          503: "overloaded_error", 504: "timeout_error"}  # fmt: skip
"""Anthropic's names of errors by status; other ones are invalid_request_error below 500 and api_error above."""
REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
"""Anthropic's names of finish reasons."""


def error_body(error: FaceError) -> dict[str, Any]:
    """Return an error in Anthropic's form; its package sends a whole conversation where a thread is not kept."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    body: dict[str, Any] = {"type": ERRORS.get(error.status, fallback), "message": error.message}
    if error.param == "thread":
        body["details"] = {"error_code": "thread_unsupported_request"}
    return {"type": "error", "error": body}


def ending(choice: Choice) -> dict[str, Any]:
    """Return why an answer ended."""
    if choice.stopped_by is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stopped_by}
    reason = REASONS.get(choice.finish_reason or "")
    return {"stop_reason": reason, "stop_sequence": None}


def costs(choice: Choice) -> dict[str, Any]:
    """Return the usage; what was in the cache is not among the input tokens."""
    last = choice.last
    return {
        "input_tokens": last["num_input_tokens"] - last["cached_tokens"],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": last["cached_tokens"],
        "output_tokens": last["num_output_tokens"],
    }


def message(identity: str, choice: Choice) -> dict[str, Any]:
    """Return the answer."""
    content: list[dict[str, Any]] = []
    if choice.thought:
        content.append({"type": "thinking", "thinking": choice.thought, "signature": ""})
    if choice.has_words:
        content.append({"type": "text", "text": choice.text})
    content += [call_block(call, complete(call.arguments)) for call in choice.calls]
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": choice.asked.model,
        "content": content,
        **ending(choice),
        "usage": costs(choice),
        **choice.extras(),
    }


def call_block(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a call as a block of the content."""
    return {"type": "tool_use", "id": f"toolu_{call.id.removeprefix('call_')}", "name": call.name, "input": arguments}


def complete(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call; none where `max_tokens` cut them, or where a number is none that floats hold."""
    try:
        found: dict[str, Any] = loads(arguments)
    except ValueError:
        return {}
    return found
