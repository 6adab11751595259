"""Ahead: what a caller sends before it has its answer, which waits; and a parser that does not read ahead by itself."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser

from ...errors import Refusal

AHEAD_BYTES = 64 * 1024
"""That are kept of further requests; whoever sends more is heard no more once it has its answer."""


class Ahead:
    """The bytes that wait.

    Attributes:
        too_much: there were more than AHEAD_BYTES, and none is kept.
    """

    def __init__(self) -> None:
        self.too_much = False
        self._kept = b""

    def keep(self, data: bytes) -> None:
        """Keep further bytes."""
        self._kept += data
        if len(self._kept) > AHEAD_BYTES:
            self._kept, self.too_much = b"", True

    def take(self) -> bytes:
        """Return what was kept, and keep nothing.

        Raises:
            Refusal: it was too much.
        """
        if self.too_much:
            raise Refusal("bad_request", f"at most {AHEAD_BYTES} bytes may be sent before an answer")
        kept, self._kept = self._kept, b""
        return kept


def parser_for(protocol: BaseProtocol, buffer_bytes: int) -> HttpRequestParser:
    """Return a parser that stops after each request.

    The one that aiohttp makes reads on at once. Where it then finds what it cannot read, it forgets the request before.
    """
    return HttpRequestParser(
        *(protocol, asyncio.get_running_loop(), buffer_bytes),
        payload_exception=web.RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=1,
    )
