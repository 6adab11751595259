"""EventStream: an answer of server-sent events whose head leaves together with the first of them."""

from __future__ import annotations

from aiohttp import web


class EventStream(web.StreamResponse):
    """An answer in parts. The head waits for the first part: one packet less, which costs more than making a part.

    aiohttp's own `Response` waits so for its body. Were the attribute no longer known, the head would leave by itself.
    """

    _send_headers_immediately = False
