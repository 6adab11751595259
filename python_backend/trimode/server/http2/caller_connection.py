"""CallerConnection: the server's side of one caller's connection, and the limits that hold for it.

Each stream that the caller begins is handed on. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...errors import Refusal
from ..caller import neighbours
from .connection import Connection
from .frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FIRST_WINDOW,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    WINDOW_UPDATE,
    ConnectionFault,
    number_frame,
    settings,
)
from .header_reader import MOST_HEADER_BYTES, Block, Fields
from .outbox import Outbox
from .receiver import Receiver
from .stream import Stream

logger = logging.getLogger(__name__)

MOST_STREAMS = 256
"""Calls of one connection at once; more wait for the first to end, as HTTP/2 has it."""
STREAM_WINDOW = 2**18
"""Bytes of a stream that may be on their way; a request of the usual size fits many times."""
IDLE_SECONDS = 600.0
HANDSHAKE_SECONDS = 20.0  # for TLS, and again for the caller's settings
KEEPALIVE_SECONDS, KEEPALIVE_ANSWER_SECONDS = 60.0, 20.0
"""How long a connection may be silent before it is asked for a sign of life, and how long it may take to give one."""
PING_SECONDS, MOST_EARLY_PINGS = 5.0, 2
"""Callers may ping no more often while nothing is sent to them; tritonclient's own keepalive has no shorter default.
gRPC's servers end the connection at the third ping that comes too early too."""
WRITE_SECONDS = 60.0
"""For a caller to take LEAST_TAKEN bytes more of what waits for it, or all of that."""
LEFT_SECONDS = 1.0
"""For a caller to read why its connection ended."""
FLOOD_SECONDS = 10.0
"""In which one connection may do what follows so many times."""
RESETS = 512
"""Calls that it gives up: twice what it may have open at once. Opening and giving up calls without end is an attack
(CVE-2023-44487). Header fields for a call that is over count as one."""
MOST_SETTINGS = 100
"""Changes of settings. Libraries send one at the start, and a few as they learn how fast the network is; each is
applied to all streams."""
MANY_FIELDS, MOST_MANY = 64, 512
"""Calls with more header fields than MANY_FIELDS: clients and proxies send some twenty, and reading each takes as long
as a call's other bookkeeping together."""


class Connections(Protocol):
    """Who keeps the connections of a port."""

    def add(self, connection: CallerConnection) -> Refusal | None:
        """Take a new connection, or return why there is no room for it."""

    def discard(self, connection: CallerConnection) -> None:
        """Forget a connection that has ended."""


class Flood:
    """Counts what one connection may do `most` times in FLOOD_SECONDS; `what` is what a caller hears of more."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._count = 0
        self._since = 0.0

    def note(self) -> None:
        """Count once more.

        Raises:
            ConnectionFault: that is too often.
        """
        now = time.monotonic()
        if now - self._since > FLOOD_SECONDS:
            self._count, self._since = 0, now
        self._count += 1
        if self._count > self._most:
            raise ConnectionFault(ENHANCE_YOUR_CALM, self._what)


@dataclass(frozen=True)
class Begun:
    """A stream that a caller begins: its block of header fields and where it comes from."""

    connection: CallerConnection
    block: Block
    peer: str

    @property
    def fields(self) -> Fields:
        """Its header fields."""
        return self.block.fields

    def accept(self, receiver: Receiver) -> Stream:
        """Return the stream; `receiver` hears what comes."""
        return self.connection.begin(self.block.number, receiver)


class CallerConnection(Connection):
    """A caller's connection; `handle` takes each stream that begins, and accepts it."""

    def __init__(self, outbox: Outbox, connections: Connections, handle: Callable[[Begun], None]) -> None:
        super().__init__(outbox)
        self._connections = connections
        self._handle = handle
        self._began_at = self._quiet_since = time.monotonic()
        self._greeting: bytes | None = b""  # the part of the preface that has come; None when it has come whole
        self._leaving = False
        self._early_pings = 0
        self._next_ping = 0.0
        self._resets = Flood(RESETS, "too many calls were given up")
        self._settings = Flood(MOST_SETTINGS, f"more than {MOST_SETTINGS} settings in {FLOOD_SECONDS:.0f} s")
        self._many_fields = Flood(MOST_MANY, f"too many calls had more than {MANY_FIELDS} header fields")
        self._peer = ""
        self.caller = ""
        """What stands for all connections of one caller; see caller.neighbours."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once for want of room."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if isinstance(name, tuple) else "unix:"
        self.caller = neighbours(name)
        if self._connections.add(self) is not None:
            assert self.transport is not None
            self.transport.abort()
            return
        limits = (
            (MAX_CONCURRENT_STREAMS, MOST_STREAMS),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, MOST_HEADER_BYTES),
        )
        self.write(settings(limits) + number_frame(WINDOW_UPDATE, 0, LARGEST_WINDOW - FIRST_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let every stream know."""
        self._connections.discard(self)
        super().connection_lost(exc)

    def read_frames(self, data: bytes) -> int:
        """Act on the preface, then on frames."""
        if self._greeting is None:
            return super().read_frames(data)
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(PROTOCOL_ERROR, "this is not HTTP/2")
        if len(data) < len(PREFACE):
            return 0
        self._greeting = None
        return len(PREFACE) + super().read_frames(data[len(PREFACE) :])

    @property
    def busy(self) -> bool:
        """Whether something runs on one of its streams."""
        return any(stream.receiver.busy for stream in self.streams.values())

    @property
    def idle_since(self) -> float | None:
        """When (time.monotonic) it was last heard, if nothing runs on it; None if something does."""
        return None if self.busy else self.heard_at

    def drop(self) -> None:
        """End at once."""
        if self.transport is not None:
            self.transport.abort()

    def begin(self, number: int, receiver: Receiver) -> Stream:
        """Return the new stream of this number."""
        stream = self.streams[number] = Stream(self, number, receiver, self._first_window, STREAM_WINDOW)
        return stream

    def on_block(self, block: Block) -> None:
        """Begin a stream, or take its trailers, which mean nothing to gRPC."""
        number = block.number
        if len(block.fields) > MANY_FIELDS:
            self._many_fields.note()
        if stream := self.streams.get(number):
            if not block.last:
                raise ConnectionFault(PROTOCOL_ERROR, "header fields in the middle of a stream")
            stream.receive(b"", 0, last=True)
            return
        if number <= self.last:
            self.on_reset()  # of a stream that has ended: it is read in vain, as a call that is given up
            return
        if number % 2 == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a caller's streams have odd numbers")
        self.last = number
        if self._leaving or len(self.streams) >= MOST_STREAMS:  # the caller may ask again, elsewhere say (8.7)
            self.write(number_frame(RST_STREAM, number, REFUSED_STREAM))
            return
        try:
            self._handle(Begun(self, block, self._peer))
        except Exception:  # a defect of ours, which must not end the connection and all that runs on it
            logger.exception("a call could not begin")
            self.write(number_frame(RST_STREAM, number, INTERNAL_ERROR))
            self.streams.pop(number, None)
        if block.last and (stream := self.streams.get(number)):
            stream.receive(b"", 0, last=True)

    def write(self, data: bytes) -> None:
        """Send frames; see Connection.write. Once something is sent, pings are no flood."""
        self._early_pings = 0
        super().write(data)

    def on_ping(self, payload: bytes) -> None:
        """Give a sign of life, unless pings come too often."""
        now, early = time.monotonic(), self._early_pings
        early = early + 1 if now < self._next_ping else early
        self._next_ping = now + PING_SECONDS
        if early > MOST_EARLY_PINGS:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too_many_pings")  # the words that gRPC's libraries know
        super().on_ping(payload)
        self._early_pings = early

    def on_settings(self) -> None:
        """Take the settings, unless they change too often."""
        self._settings.note()
        early = self._early_pings
        super().on_settings()
        self._early_pings = early  # that they came is no answer of ours

    def on_reset(self) -> None:
        """End the connection where too many calls are given up."""
        self._resets.note()

    def forget(self, stream: Stream) -> None:
        """Know a stream no more; a connection that is to end does so with its last one."""
        super().forget(stream)
        if not self.streams:
            self._quiet_since = time.monotonic()
            if self._leaving:
                self.leave(NO_ERROR, "the server is stopping")

    def depart(self) -> None:
        """Take no more calls, and end with the last one that runs."""
        self._leaving = True
        if not self.streams:
            self.leave(NO_ERROR, "the server is stopping")

    def watch(self, now: float) -> None:
        """End what is idle, gone, never began, or is not read at `now` (time.monotonic); ask who is silent."""
        if self.transport is None:
            return
        for stream in tuple(self.streams.values()):
            if stream.waiting_since is not None and now - stream.waiting_since > WRITE_SECONDS:
                stream.abandon(CANCEL)
        if self.left_at is not None:
            if now - self.left_at > LEFT_SECONDS:
                self.transport.abort()
        elif not self.settled and now - self._began_at > HANDSHAKE_SECONDS:
            self.transport.abort()
        elif self.pinged_at is not None:
            if now - self.pinged_at > KEEPALIVE_ANSWER_SECONDS:
                self.transport.abort()
        elif not self.streams and now - self._quiet_since > IDLE_SECONDS:
            self.leave(NO_ERROR, "max_idle")
        elif now - self.heard_at > KEEPALIVE_SECONDS:
            self.ping(now)
