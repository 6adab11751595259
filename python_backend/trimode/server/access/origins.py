"""Origins: the web pages that may ask from a browser, by the headers of CORS. Without any, no foreign page may.

Source: the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol. Credentials of a browser, such as
cookies, are none of this server's, and so never allowed. Knows headers; nothing of what is asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from aiohttp import web

from ...errors import ServeError

EVERY_ORIGIN = "*"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s,A-Z]+")
"""As browsers write one: scheme, host and a port that is not the usual one, in lower case and without a path."""
HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
METHODS = "GET, HEAD, POST, OPTIONS"
SHOWN_HEADERS = "x-request-id, retry-after, retry-after-ms, openai-processing-ms, openai-version"
"""Of answers, which a page may read beside those that every page may."""
KEPT_SECONDS = 600  # that a browser may keep the answer to its question; Firefox keeps a day's, Chrome two hours'


@dataclass(frozen=True)
class Origins:
    """The origins that may ask; `*` in it is every one."""

    allowed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str) -> Origins:
        """Read `--allowed-origins`: origins, separated by commas or, as vLLM has them, as a JSON list.

        Raises:
            ServeError: an entry is none.
        """
        try:
            parts = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
        except ValueError as exc:
            raise ServeError(f"--allowed-origins is not a JSON list: {text}") from exc
        entries = [str(part).strip() for part in parts]
        for entry in filter(None, entries):
            if entry != EVERY_ORIGIN and not ORIGIN.fullmatch(entry):
                allowed = "https://example.com, with a port but without a path and in lower case, or *"
                raise ServeError(f"--allowed-origins: each must be as {allowed}, got {entry}")
        return cls(frozenset(filter(None, entries)))

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """Return what an answer to `request` says to a browser; nothing where no page may ask."""
        if not self.allowed:
            return {}
        shared = {} if EVERY_ORIGIN in self.allowed else {"Vary": "Origin"}
        if (origin := self._allowed_origin(request)) is None:
            return shared
        return {**shared, "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": SHOWN_HEADERS}

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Return the answer to a browser that asks whether a page may ask; None for any other request."""
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or (origin := self._allowed_origin(request)) is None:
            return None
        headers = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Max-Age": str(KEPT_SECONDS),
            "Vary": "Origin, Access-Control-Request-Headers",
        }
        asked = request.headers.get("Access-Control-Request-Headers", "").strip()
        if HEADER_NAMES.fullmatch(asked):
            headers["Access-Control-Allow-Headers"] = asked  # any: what counts is the key that one of them carries
        return web.Response(status=204, headers=headers)

    def _allowed_origin(self, request: web.BaseRequest) -> str | None:
        """Return what to allow, None where the request comes from no page or one that may not ask."""
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        if EVERY_ORIGIN in self.allowed:
            return EVERY_ORIGIN
        return origin if origin in self.allowed else None
