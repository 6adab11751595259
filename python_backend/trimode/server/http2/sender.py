"""Sender: what one side of a connection sends: frames of all its streams, as far as windows and the network let it.

Knows nothing of what comes in.
"""

from __future__ import annotations

import asyncio

from .frames import FIRST_WINDOW, MAX_FRAME
from .outbox import Outbox
from .stream import Stream

MOST_TOGETHER = 65536
"""Bytes that are sent to one connection at a time; what is above waits in its stream."""
MOST_UNSENT = 2**20
"""Bytes that the network may not take before the connection ends: answers to pings and settings, and nothing else, are
sent to a side that does not read."""


class Sender(asyncio.Protocol):
    """The sending half. `window` is what may be sent on the connection in all."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.streams: dict[int, Stream] = {}
        self.window = FIRST_WINDOW
        self.most_frame = MAX_FRAME
        self.transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._paused = False
        self._ended = False  # nothing more may be written
        self._waiting: dict[Stream, None] = {}  # streams with room of their own

    @property
    def full(self) -> bool:
        """Whether the network takes no more now."""
        return self._paused

    def write(self, data: bytes) -> None:
        """Send frames, together with what else is sent in this turn of the event loop."""
        if not self._out:
            self.outbox.add(self)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > MOST_TOGETHER:
            self._send_out()

    def flush(self) -> None:
        """Send what was written."""
        if self._out:
            self._send_out()

    def _send_out(self) -> None:
        data, self._out, self._out_bytes = b"".join(self._out), [], 0
        transport = self.transport
        if transport is not None and not (self._ended or transport.is_closing()):
            transport.write(data)
            if transport.get_write_buffer_size() > MOST_UNSENT:
                transport.abort()

    def pause_writing(self) -> None:
        """Note that the network takes no more."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what waited."""
        self._paused = False
        self.send_waiting()

    def wait_for_room(self, stream: Stream) -> None:
        """Let a stream whose own window has room send on when the connection and the network have some."""
        self._waiting[stream] = None

    def forget(self, stream: Stream) -> None:
        """Know a stream no more."""
        self._waiting.pop(stream, None)
        self.streams.pop(stream.number, None)

    def send_waiting(self) -> None:
        """Let streams send in turn, one frame's worth of order: the first that waits again is the last."""
        for stream in tuple(self._waiting):
            if self._paused or self.window <= 0:
                return
            if stream not in self._waiting:
                continue  # another's end was its end too
            del self._waiting[stream]
            if stream.waiting_since is None:
                continue  # a window of its own let it send meanwhile
            stream.send_on()
            if stream.waiting_since is not None and stream.window > 0:
                self._waiting[stream] = None
