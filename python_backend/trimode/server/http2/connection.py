"""Connection: one side of an HTTP/2 connection. Reads frames, keeps windows and settings, answers pings.

CallerConnection and BackendConnection say what begins a stream. Knows nothing of what streams carry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from .frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_STREAM,
    FIRST_WINDOW,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_FRAME,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    frame,
    goaway,
    number_frame,
    settings_in,
    without_padding,
)
from .header_reader import Block, HeaderReader
from .outbox import Outbox
from .sender import MOST_TOGETHER, Sender

NUMBER = 0x7FFFFFFF  # the bits of a stream's number; the one above has no meaning


class Connection(Sender):
    """One side of a connection."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.heard_at = time.monotonic()
        self.pinged_at: float | None = None  # when an unanswered ping was sent
        self.last = 0  # the number of the newest stream
        self.left_at: float | None = None  # when this side ended the connection
        self.settled = False  # the other side's settings have come
        self._rest = b""
        self._received = 0  # bytes of data since the connection's window was last widened
        self._first_window = FIRST_WINDOW  # of a new stream, for what we send
        self._headers = HeaderReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Let every stream know."""
        self.transport = None
        for stream in tuple(self.streams.values()):
            stream.lose(None)

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        if self.left_at is not None:
            return
        self.heard_at = time.monotonic()
        self.outbox.read(self._read, data)

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self.read_frames(data) :]
        except ConnectionFault as exc:
            self.fail(exc)

    def read_frames(self, data: bytes) -> int:
        """Act on the whole frames in `data`; return where the rest begins.

        Raises:
            ConnectionFault: something is not as it must be.
        """
        at, end = 0, len(data)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, number = HEAD.unpack_from(data, at)
            size = high << 16 | low
            if size > MAX_FRAME:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame may have {MAX_FRAME} bytes, got {size}")
            begin, stop = at + HEAD_BYTES, at + HEAD_BYTES + size
            if stop > end:
                break
            at = stop
            if kind != DATA or self._headers.within:
                self._on_frame(kind, flags, number & NUMBER, data[begin:stop])
                continue
            self._received += size
            if self._received > LARGEST_WINDOW // 2:
                self.write(number_frame(WINDOW_UPDATE, 0, self._received))
                self._received = 0
            payload = data[begin:stop] if not flags & PADDED else without_padding(flags & PADDED, data[begin:stop])
            stream = self.streams.get(number & NUMBER)
            if stream is not None:
                stream.receive(payload, size, last=bool(flags & END_STREAM))
            elif not 0 < number & NUMBER <= self.last:
                raise ConnectionFault(PROTOCOL_ERROR, "data for a stream that was never begun")
        return at

    def fail(self, fault: ConnectionFault) -> None:
        """End the connection and all on it, and say why."""
        self.leave(fault.code, str(fault))
        for stream in tuple(self.streams.values()):
            stream.lose(None)

    def leave(self, code: int, text: str) -> None:
        """End the connection; what was written before still leaves.

        What comes meanwhile is not read. A connection that is closed while bytes come in would be reset, and the other
        side would not read why; so it ends when the other side ends it too, or when `watch` finds that late.
        """
        if self.transport is None or self.transport.is_closing() or self.left_at is not None:
            return
        self.left_at = time.monotonic()
        self.write(goaway(self.last, code, text))
        self.flush()
        self._ended = True
        try:
            self.transport.write_eof()
        except (OSError, NotImplementedError):  # it has ended already; TLS has no half of a connection
            self.transport.close()

    def ping(self, now: float) -> None:
        """Ask for a sign of life."""
        self.pinged_at = now
        self.write(frame(PING, 0, 0, bytes(8)))

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not self.settled and kind != SETTINGS:
            raise ConnectionFault(PROTOCOL_ERROR, "settings must come first")
        if self._headers.within or kind in (HEADERS, CONTINUATION):
            if block := self._headers.read(kind, flags, number, payload):
                self.on_block(block)
        elif handle := _HANDLERS.get(kind):
            handle(self, flags, number, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "nothing may be pushed here")

    def on_block(self, block: Block) -> None:
        """Act on header fields."""
        raise NotImplementedError

    def on_ping(self, payload: bytes) -> None:
        """Give a sign of life."""
        self.write(frame(PING, ACK, 0, payload))

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if flags & ACK:
            return
        found = dict(settings_in(number, payload))  # the last of several values is the one that holds
        self.on_settings()
        self.most_frame = min(found.get(MAX_FRAME_SIZE, self.most_frame), MOST_TOGETHER)
        first = found.get(INITIAL_WINDOW_SIZE, self._first_window)
        grown, self._first_window = first - self._first_window, first
        if grown:
            for stream in tuple(self.streams.values()):
                stream.widen(grown)

    def on_settings(self) -> None:
        """Say that the other side's settings have come."""
        self.settled = True
        self.write(frame(SETTINGS, ACK, 0))

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a ping has 8 bytes")
        if flags & ACK:
            self.pinged_at = None
        else:
            self.on_ping(payload)

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4 or not 0 < number <= self.last:
            raise ConnectionFault(PROTOCOL_ERROR, "a stream that was never begun was reset")
        self.on_reset()
        if stream := self.streams.get(number):
            stream.lose(int.from_bytes(payload, "big"))

    def on_reset(self) -> None:
        """Note that the other side gave a stream up."""

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        size = int.from_bytes(payload, "big") & NUMBER
        if len(payload) != 4 or not size:
            raise ConnectionFault(PROTOCOL_ERROR, "a window must grow by 1 byte or more")
        if number:
            if stream := self.streams.get(number):
                stream.widen(size)
            return
        self.window += size
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "a window is larger than 2^31 - 1 bytes")
        self.send_waiting()

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        self.on_goaway(int.from_bytes(payload[:4], "big") & NUMBER)

    def on_goaway(self, last: int) -> None:
        """Note that the other side begins or takes no more streams after `last`."""


_HANDLERS: dict[int, Callable[[Any, int, int, bytes], None]] = {
    SETTINGS: Connection._on_settings,
    PING: Connection._on_ping,
    RST_STREAM: Connection._on_reset,
    WINDOW_UPDATE: Connection._on_window,
    GOAWAY: Connection._on_goaway,
}
