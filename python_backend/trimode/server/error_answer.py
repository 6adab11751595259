"""The answer to an error: `<error_type>: <message>`, over HTTP as JSON `{"error": ...}` with the status of its type.

Triton's own errors have no type; TRITONS_WORDS finds it. Statuses are in errors.ERROR_TYPES. Knows nothing of requests,
and so serves every face of the server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aiohttp import web

from ..errors import ERROR_TYPES, TrimodeError, seconds_to_wait

TYPE_IN_FRONT = re.compile(r"[a-z][a-z0-9_]*(?=: )")
RETRY_AFTER_SECONDS = 1  # a full queue moves within a second, and a start is asked about again
ENCODINGS = "gzip, deflate"  # of a body that HTTP's face reads
ERROR_TYPE = web.ResponseKey("error_type", str)
"""Where a response that is an error, or that ends with one, has its type."""
QUOTED_BYTES = 200  # of a body that is no error of Triton's
TRITONS_WORDS = (
    ("has no available versions|not at ready state|not ready|unavailable|stopped", "unavailable"),
    ("is not healthy|shared memory pool", "unavailable"),
    (r"alloc|(?<!shared )\bmemory\b|create shared memory region|no space|too many open files", "unavailable"),
    ("socket closed|connection reset|broken pipe", "unavailable"),
    ("exceeds maximum queue size", "overloaded"),
    ("timeout expired|deadline", "deadline_exceeded"),
    ("unknown model|model version|requested model|^not found", "not_found"),
    ("is restricted|^method not allowed", "not_allowed"),
    ("decoupled transaction|exactly 1 response|shared memory region", "not_applicable"),
    ("content-encoding", "unsupported_encoding"),
    ("already exists in request|already supplied|contents field must not|'' provided when using", "given_twice"),
    ("unexpected inference (input|output)", "unknown_field"),
    ("failed to parse the request json", "bad_json"),
    ("data-?type|shape|dimensions|byte size|incomplete string|number of string elements|find data for", "wrong_type"),
    ("unexpected size for input|additional input data|via json is not supported", "wrong_type"),
    (r"attempt to|unable to parse|invalid (value )?type|\bexpect(s|ed|ing)\b", "wrong_type"),
    ("must be specified|required input", "invalid_value"),
)
"""What Triton's own errors say in lower case, and the type that they have; the first pattern that is found counts.

Where none is found the type is `internal`: words that nobody foresaw are not the caller's fault.
Checked against what Triton 2.51 answered to 60 broken requests over HTTP and gRPC, see the test of this module. The
words of the third to the sixth line and of the last were not provoked, nor "already supplied", "provided when using"
and those of the second line of wrong types.
"""
QUOTED = re.compile(r"'[^']*'")  # in Triton's words: often a name that the caller chose, which may hold any word


def with_type(text: str) -> str:
    """Return the error's text with its type in front: as it is, or for Triton's own words with the type they mean."""
    found = TYPE_IN_FRONT.match(text)
    if found and found[0] in ERROR_TYPES:
        return text
    words = QUOTED.sub("''", text.lower())
    kind = next((kind for pattern, kind in TRITONS_WORDS if re.search(pattern, words)), "internal")
    return f"{kind}: {text}"


def error_text(body: bytes) -> str:
    """Return the text of Triton's error body, which is JSON with or without `data: ` in front."""
    try:
        return str(json.loads(body.strip().removeprefix(b"data: "))["error"])
    except (ValueError, KeyError, TypeError):
        return TrimodeError(body[:QUOTED_BYTES].decode("utf-8", "replace")).on_the_wire()


def retry_after(text: str) -> int:
    """Return after how many seconds to send a request again that was answered with the error `text`."""
    return seconds_to_wait(text) or RETRY_AFTER_SECONDS


def error_response(text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer to the error `text`, which gets a type in front if it has none."""
    typed = with_type(text)
    kind = ERROR_TYPES[typed.partition(":")[0]]
    own = {"Retry-After": str(retry_after(typed))} if kind.http_status in (429, 503) else {}
    if kind.http_status == 401:
        own["WWW-Authenticate"] = "Bearer"
    if kind.name == "unsupported_encoding":
        own["Accept-Encoding"] = ENCODINGS
    made = web.json_response({"error": typed}, status=kind.http_status, headers={**own, **(headers or {})})
    made[ERROR_TYPE] = kind.name
    return made
