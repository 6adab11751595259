"""BackendConnection: the client's side of the connection to one Triton, on which each call is a stream.

Trusts its other side as much as the server that was started here deserves. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio

from .connection import Connection
from .frames import (
    ENABLE_PUSH,
    END_HEADERS,
    FIRST_WINDOW,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    NO_ERROR,
    PREFACE,
    WINDOW_UPDATE,
    frame,
    header_block,
    number_frame,
    settings,
)
from .header_reader import Block, Fields
from .outbox import Outbox
from .receiver import Receiver
from .stream import Stream

STREAM_WINDOW = 2**20
"""Bytes of answers that wait here for a slow reader; the rest stay in Triton."""
LAST_NUMBER = 2**31 - 1
SOCKET = "unix:"


class BackendConnection(Connection):
    """A connection to Triton."""

    @classmethod
    async def to(cls, address: str, outbox: Outbox) -> BackendConnection:
        """Connect to host:port, or to a socket's path behind `unix:`.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        if address.startswith(SOCKET):
            _, made = await loop.create_unix_connection(lambda: cls(outbox), address.removeprefix(SOCKET))
        else:
            host, _, port = address.rpartition(":")
            _, made = await loop.create_connection(lambda: cls(outbox), host.strip("[]"), int(port))
        return made

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.last = -1
        self.usable = False
        self.gone = asyncio.Event()
        """Set once no more streams can begin."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.usable = True
        ours = settings(((ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, STREAM_WINDOW)))
        self.write(PREFACE + ours + number_frame(WINDOW_UPDATE, 0, LARGEST_WINDOW - FIRST_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let every stream know."""
        self.on_goaway(0)
        super().connection_lost(exc)

    def begin(self, fields: Fields, receiver: Receiver) -> Stream:
        """Begin a stream with these header fields."""
        self.last += 2
        if self.last >= LAST_NUMBER - 2:
            self.on_goaway(self.last)
        stream = self.streams[self.last] = Stream(self, self.last, receiver, self._first_window, STREAM_WINDOW)
        self.write(frame(HEADERS, END_HEADERS, self.last, header_block(fields)))
        return stream

    def on_block(self, block: Block) -> None:
        """Hand header fields on."""
        if stream := self.streams.get(block.number):
            stream.tell(stream.receiver.fields, block.fields)
            if block.last:
                stream.receive(b"", 0, last=True)

    def on_goaway(self, last: int) -> None:
        """Begin no more streams."""
        self.usable = False
        self.gone.set()

    def leave(self, code: int, text: str) -> None:
        """End the connection; see Connection.leave. No more streams begin, since no answer would be read."""
        self.on_goaway(0)
        super().leave(code, text)

    def close(self) -> None:
        """End the connection."""
        self.leave(NO_ERROR, "")
        if self.transport is not None:
            self.transport.close()
