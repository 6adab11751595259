"""The HTTP answer to an error: JSON `{"error": "<error_type>: <message>"}` with the status of its type.

Statuses are in errors.ERROR_TYPES. Knows nothing of requests, and so serves every face of the server.
"""

from __future__ import annotations

import json
import re

from aiohttp import web

from ..errors import ERROR_TYPES, TrimodeError

TYPE_IN_FRONT = re.compile(r"[a-z][a-z_]*(?=: )")
UNKNOWN_TYPE_STATUS = 400  # Triton answers most bad requests with words of its own, such as `unexpected name: …`
RETRY_AFTER_SECONDS = 1  # a full queue moves within a second, and a start is asked about again
QUOTED_BYTES = 200  # of a body that is no error of Triton's


def status_of(text: str, without_type: int = UNKNOWN_TYPE_STATUS) -> int:
    """Return the HTTP status of the text `<error_type>: <message>`, or `without_type` if no type stands in front."""
    found = TYPE_IN_FRONT.match(text)
    if found is None:
        return without_type
    known = ERROR_TYPES.get(found[0])
    return known.http_status if known else UNKNOWN_TYPE_STATUS


def error_text(body: bytes) -> str:
    """Return the text of Triton's error body, which is JSON with or without `data: ` in front."""
    try:
        return str(json.loads(body.strip().removeprefix(b"data: "))["error"])
    except (ValueError, KeyError, TypeError):
        return TrimodeError(body[:QUOTED_BYTES].decode("utf-8", "replace")).on_the_wire()


def error_response(text: str, without_type: int = UNKNOWN_TYPE_STATUS) -> web.Response:
    """Return the answer to the error `text`; its status is `without_type` if no error_type stands in front."""
    status = status_of(text, without_type)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    return web.json_response({"error": text}, status=status, headers=headers)
