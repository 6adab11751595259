"""The answer to an error: `<error_type>: <message>`, over HTTP as JSON `{"error": ...}` with the status of its type.

Triton's own errors have no type; TRITONS_WORDS finds it. Statuses are in errors.ERROR_TYPES. Knows nothing of requests,
and so serves every face of the server.
"""

from __future__ import annotations

import json
import re

from aiohttp import web

from ..errors import ERROR_TYPES, TrimodeError

TYPE_IN_FRONT = re.compile(r"[a-z][a-z0-9_]*(?=: )")
RETRY_AFTER_SECONDS = 1  # a full queue moves within a second, and a start is asked about again
QUOTED_BYTES = 200  # of a body that is no error of Triton's
TRITONS_WORDS = (
    ("has no available versions|not at ready state", "unavailable"),  # of a model that is there: Triton is ending
    ("unknown model|is not found|failed to find", "not_found"),
    ("is not healthy|not ready|unavailable|is stopped|shared memory pool|has been stopped", "unavailable"),
    ("exceeds maximum queue size", "overloaded"),
    ("timeout expired|deadline", "deadline_exceeded"),
    ("unexpected (inference )?(input|name|parameter)|unknown (input|parameter)|unexpected key", "unknown_field"),
    ("failed to parse the request json|malformed|invalid json", "bad_json"),
    (r"data-?type|shape|type mismatch|unable to parse|must be|\bexpect(s|ed)\b", "wrong_type"),
    ("internal|failed to|error", "internal"),
)
"""What Triton's own errors say, and the type that they have; the first pattern that is found counts."""


def with_type(text: str) -> str:
    """Return the error's text with its type in front: as it is, or for Triton's own words with the type they mean."""
    found = TYPE_IN_FRONT.match(text)
    if found and found[0] in ERROR_TYPES:
        return text
    lower = text.lower()
    kind = next((kind for pattern, kind in TRITONS_WORDS if re.search(pattern, lower)), "invalid_value")
    return f"{kind}: {text}"


def error_text(body: bytes) -> str:
    """Return the text of Triton's error body, which is JSON with or without `data: ` in front."""
    try:
        return str(json.loads(body.strip().removeprefix(b"data: "))["error"])
    except (ValueError, KeyError, TypeError):
        return TrimodeError(body[:QUOTED_BYTES].decode("utf-8", "replace")).on_the_wire()


def error_response(text: str) -> web.Response:
    """Return the answer to the error `text`, which gets a type in front if it has none."""
    typed = with_type(text)
    status = ERROR_TYPES[typed.partition(":")[0]].http_status
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    return web.json_response({"error": typed}, status=status, headers=headers)
