"""Stream: one stream of a connection, what waits to be sent on it, and how much each side may send (RFC 9113, 5.2).

Knows its connection and who receives; nothing of what the bytes mean.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from .frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    INTERNAL_ERROR,
    LARGEST_WINDOW,
    PROTOCOL_ERROR,
    RST_STREAM,
    WINDOW_UPDATE,
    ConnectionFault,
    frame,
    number_frame,
)
from .receiver import NOBODY, Receiver

logger = logging.getLogger(__name__)

LEAST_TAKEN = 4096
"""Bytes that the other side must take of what waits, or all of it, for its time to begin again. Any network on which
calls are made takes them in a moment; a byte now and then is no sign that somebody reads."""


class Wire(Protocol):
    """A connection, as far as its streams need it."""

    window: int
    most_frame: int

    @property
    def full(self) -> bool:
        """Whether the network takes no more now."""

    def write(self, data: bytes) -> None:
        """Send frames, together with what else is sent in this turn of the event loop."""

    def wait_for_room(self, stream: Stream) -> None:
        """Let a stream send on when there is room."""

    def forget(self, stream: Stream) -> None:
        """Know a stream no more."""


class Stream:
    """One stream. `room` is what the other side may send before it is granted more, `window` what we may."""

    __slots__ = (
        *(
            "number",
            "receiver",
            "window",
            "room",
            "size",
            "held",
            "over",
            "done",
            "sent_all",
            "got_all",
            "waiting_since",
        ),
        *("_wire", "_queue", "_left", "_taken", "_ending"),
    )

    def __init__(self, wire: Wire, number: int, receiver: Receiver, window: int, room: int) -> None:
        self.number = number
        self.receiver: Receiver = receiver
        self.window = window
        self.room = self.size = room
        self.held = False  # the other side is granted no more
        self.over = False  # nothing happens on it any more
        self.sent_all = self.got_all = False
        self.done = False  # what comes means nothing any more
        self.waiting_since: float | None = None  # time.monotonic() when data began to wait or LEAST_TAKEN had left
        self._taken = 0  # bytes that left since then
        self._wire = wire
        self._queue: deque[bytes] = deque()
        self._left = 0  # bytes of the first of the queue that have left
        self._ending: bytes | None = None  # the last frames, for when the queue is empty

    def send(self, data: bytes) -> None:
        """Send bytes now, or as soon as the other side and the network take them."""
        size, wire = len(data), self._wire
        if self.over or self.sent_all:
            return
        if self._queue or size > self.window or size > wire.window or size > wire.most_frame or wire.full:
            self._queue.append(data)
            if self.waiting_since is None:
                self.waiting_since, self._taken = time.monotonic(), 0
                self._send_queue()
                self._wait_for_others()
            return
        self.window -= size
        wire.window -= size
        wire.write(frame(DATA, 0, self.number, data))

    def send_fields(self, block: bytes) -> None:
        """Send a block of header fields before any data."""
        if not self.over:
            self._wire.write(frame(HEADERS, END_HEADERS, self.number, block))

    def finish(self) -> None:
        """Say, after all data, that no more comes from us."""
        if not (self.over or self.sent_all):
            self.sent_all = True
            self._end_with(frame(DATA, END_STREAM, self.number))

    def end(self, block: bytes) -> None:
        """Send trailers after all data, as the last of the stream, and hear no more of it."""
        if self.over or self.sent_all:
            return
        self.sent_all = self.done = True
        last = frame(HEADERS, END_HEADERS | END_STREAM, self.number, block)
        if not self.got_all:  # 8.1: the other side need not send the rest
            last += number_frame(RST_STREAM, self.number, 0)
        self._end_with(last)

    def _end_with(self, last: bytes) -> None:
        self._ending = last
        if not self._queue:
            self._send_ending()

    def reset(self, code: int) -> None:
        """End the stream at once, whatever waits."""
        if not self.over:
            self._wire.write(number_frame(RST_STREAM, self.number, code))
            self.close()

    def lose(self, code: int | None) -> None:
        """End the stream, since the other side reset it with a code or, where that is None, is gone."""
        lost = self.receiver.lost
        self.close()
        self.tell(lost, code)

    def abandon(self, code: int) -> None:
        """End the stream at once, and let its receiver know."""
        lost = self.receiver.lost
        self.reset(code)
        self.tell(lost, code)

    def tell(self, hear: Callable[..., None], *what: Any) -> None:
        """Let the receiver hear something; a defect of ours ends this stream, and not all that runs beside it."""
        try:
            hear(*what)
        except Exception:
            logger.exception("a stream could not be served")
            if not self.over:
                self.abandon(INTERNAL_ERROR)

    def close(self) -> None:
        """Forget the stream; nobody hears of it any more."""
        self.over = True
        self.receiver = NOBODY  # who knows the stream, and so would stay until the garbage is collected
        self._queue.clear()
        self.waiting_since = None
        self._wire.forget(self)

    def send_on(self) -> None:
        """Send what waits, as far as there is room, and let the receiver know when that was all."""
        self._send_queue()
        if self.waiting_since is not None or self.over:
            return
        if self._ending is not None:
            self._send_ending()
        else:
            self.tell(self.receiver.drained)

    def _send_queue(self) -> None:
        wire = self._wire
        while self._queue and not wire.full and not self.over:
            data, begin = self._queue[0], self._left
            size = min(len(data) - begin, self.window, wire.window, wire.most_frame)
            if size <= 0 and data:
                return
            self._left = begin + size
            if self._left == len(data):
                self._queue.popleft()
                self._left = 0
            self.window -= size
            wire.window -= size
            self._taken += size
            if self._taken >= LEAST_TAKEN:
                self.waiting_since, self._taken = time.monotonic(), 0
            wire.write(frame(DATA, 0, self.number, data[begin : begin + size]))
        if not self._queue:
            self.waiting_since = None

    def _wait_for_others(self) -> None:
        """Wait for room on the connection; where the stream's own window has none, `widen` goes on."""
        if self.waiting_since is not None and self.window > 0:
            self._wire.wait_for_room(self)

    def widen(self, size: int) -> None:
        """Let us send `size` bytes more, or fewer where it is below 0.

        Raises:
            ConnectionFault: that is more than a window can be.
        """
        self.window += size
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "a window is larger than 2^31 - 1 bytes")
        if self.waiting_since is not None and self.window > 0:
            self.send_on()
            self._wait_for_others()

    def receive(self, data: bytes, size: int, *, last: bool) -> None:
        """Take the data of a frame of `size` bytes, padding included.

        Raises:
            ConnectionFault: the other side was not granted as much, or had ended the stream.
        """
        self.room -= size
        if self.room < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more data than the window allows")
        if self.got_all:
            raise ConnectionFault(PROTOCOL_ERROR, "data after the end of a stream")
        self.got_all = last
        if self.done:
            return
        if data:
            self.tell(self.receiver.data, data)
        if last and not self.over:
            self.tell(self.receiver.ended)
        if self.room < self.size // 2:
            self._grant()

    def hold(self) -> None:
        """Grant the other side no more until `release`: what it sent has nowhere to go."""
        self.held = True

    def release(self) -> None:
        """Let the other side send on."""
        self.held = False
        if self.room < self.size // 2:
            self._grant()

    def _grant(self) -> None:
        if not (self.held or self.over or self.got_all):
            self._wire.write(number_frame(WINDOW_UPDATE, self.number, self.size - self.room))
            self.room = self.size

    def _send_ending(self) -> None:
        assert self._ending is not None
        self._wire.write(self._ending)
        self._ending = None
        if self.done:
            self.close()
