"""Outbox: what is sent in one turn of the event loop leaves at its end, each connection's in one piece."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)


class Sender(Protocol):
    """A connection that holds something to send."""

    def flush(self) -> None:
        """Send it."""


class Outbox:
    """Lets each connection write once for all that happens in one turn of the event loop."""

    def __init__(self) -> None:
        self._unsent: list[Sender] = []
        self._reading = False

    def add(self, connection: Sender) -> None:
        """Send what a connection holds at the end of this turn."""
        if not self._unsent and not self._reading:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(connection)

    def read(self, read: Callable[[bytes], None], data: bytes) -> None:
        """Let `read` take data, and send all that comes of it at once."""
        self._reading = True
        try:
            read(data)
        finally:
            self._reading = False
            self._send()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in unsent:
            try:
                connection.flush()
            except Exception:  # a defect of ours on one connection, which must not silence the others
                logger.exception("a connection could not be written to")
