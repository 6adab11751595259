"""BackendConnection: one connection to Triton's HTTP, and the answer that is being read on it (RFC 9112).

Trusts its other side as much as the server that was started here deserves: heads are a few short lines, bodies have
their length or come in chunks. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from ...errors import LostError

MOST_UNREAD = 2**17
"""Bytes of an answer that are held for a slow reader; the rest stays in Triton."""
MOST_HEAD = 2**16
"""Bytes of an answer's head, or of a chunk's: far more than Triton's have."""
END_OF_HEAD, END_OF_LINE = b"\r\n\r\n", b"\r\n"
VERSIONS = ("HTTP/1.1", "HTTP/1.0")


@dataclass(frozen=True)
class Head:
    """An answer's head.

    Attributes:
        size: the body's length in bytes, None for one that comes in chunks.
        lasting: the connection stays for another request.
    """

    status: int
    content_type: str
    size: int | None
    lasting: bool


@lru_cache(maxsize=64)
def read_head(head: bytes) -> Head:
    """Read a head without its last two line ends. Triton's are few, and come again and again.

    Raises:
        LostError: it is none that HTTP/1.1 knows, or does not say where the body ends.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status, size = rest[:3], fields.get("content-length", "")
    chunked = fields.get("transfer-encoding", "").lower() == "chunked"
    if version not in VERSIONS or not status.isdecimal() or not (chunked or size.isdecimal()):
        raise LostError("the head of the backend's answer cannot be read")
    lasting = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
    content_type = fields.get("content-type", "application/json")
    return Head(int(status), content_type, None if chunked else int(size), lasting)


class BackendConnection(asyncio.Protocol):
    """A connection to Triton.

    Attributes:
        complete: the body of the answer has come to its end.
    """

    def __init__(self) -> None:
        self.complete = False
        self._transport: asyncio.Transport | None = None
        self._head: Head | None = None
        self._held: list[bytes] = []  # what came and was not read yet, since fewer bytes than `_needed` are there
        self._held_bytes = 0
        self._needed = 0
        self._parts: list[bytes] = []  # of the body, for whoever reads it
        self._unread = 0  # bytes of them
        self._paused = False
        self._error: Exception | None = None  # why nothing more comes
        self._waiter: asyncio.Future[None] | None = None
        self._silence = 0.0
        self._last_sign = 0.0  # time.monotonic() when something came, or somebody began to wait for it
        self._timer: asyncio.TimerHandle | None = None  # while an answer is awaited or read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the reader know."""
        self._fail(LostError("the backend closed the connection"))
        self._transport = None

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and self._error is None and not self._transport.is_closing()

    def send(self, request: bytes, silence: float) -> None:
        """Send a request; `silence` is the longest pause before and within its answer, in seconds."""
        assert self._transport is not None
        self._head, self.complete = None, False
        self._silence, self._last_sign = silence, time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(silence, self._look)
        self._transport.write(request)

    async def started(self) -> Head:
        """Return the head of the answer.

        Raises:
            LostError: the connection ended before, or what came is not HTTP.
            TimeoutError: nothing came for `silence` seconds.
        """
        while self._head is None:
            await self._more()
        return self._head

    async def next(self) -> bytes:
        """Return all whole chunks that came and were not returned yet, or a body of known length; b"" at the end.

        Raises:
            LostError, TimeoutError: see `started`.
        """
        while not (self._parts or self.complete):
            await self._more()
        parts, self._parts, self._unread = self._parts, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """End the exchange; the connection too, unless the answer is complete: the rest would come on it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        whole = self.complete and not self._parts and self._head is not None and self._head.lasting
        if self._transport is not None and not whole:
            self._transport.abort()
            self._transport = None

    def close(self) -> None:
        """End the connection, on which nothing runs."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._last_sign = time.monotonic()
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._needed:
            return
        data = data if len(self._held) == 1 else b"".join(self._held)
        self._held, self._needed = [], 0
        try:
            at = self._read(data)
        except LostError as exc:
            self._fail(exc)
            return
        if at < len(data):
            self._held.append(data[at:])
        self._held_bytes = len(data) - at
        self._needed = max(self._needed - at, 0)
        if self._unread > MOST_UNREAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _read(self, data: bytes) -> int:
        """Read what is whole; return where the rest begins."""
        if self._timer is None or self.complete:
            raise LostError("the backend sent what nobody had asked for")
        at = 0
        if self._head is None:
            end = data.find(END_OF_HEAD)
            if end < 0:
                return _not_yet(data, 0)
            self._head, at = read_head(data[:end]), end + len(END_OF_HEAD)
        size = self._head.size
        if size is None:
            at = self._read_chunks(data, at)
        elif len(data) - at < size:
            self._needed = at + size
        else:
            self._take(data[at : at + size])
            self.complete, at = True, at + size
        if self.complete and at < len(data):
            raise LostError("the backend's answer goes on after its end")
        return at

    def _read_chunks(self, data: bytes, at: int) -> int:
        while True:
            end = data.find(END_OF_LINE, at)
            if end < 0:
                return _not_yet(data, at)
            size = _chunk_size(data[at:end])
            begin, stop = end + 2, end + 2 + size
            if len(data) < stop + 2:
                self._needed = stop + 2
                return at
            if data[stop : stop + 2] != END_OF_LINE:  # of trailers too, which Triton does not send
                raise LostError("a chunk of the backend's answer is broken")
            at = stop + 2
            if not size:
                self.complete = True
                return at
            self._take(data[begin:stop])

    def _take(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
            self._unread += len(part)

    async def _more(self) -> None:
        """Wait until something comes."""
        if self._error is not None:
            raise self._error
        self._last_sign = time.monotonic()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """End the connection; its reader gets what came before, then the error."""
        self._error = self._error or error
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _look(self) -> None:
        """Give up an answer that somebody waits for and that is silent for too long."""
        left = self._silence
        if self._waiter is not None:
            left -= time.monotonic() - self._last_sign
            if left <= 0:
                self._fail(TimeoutError("the backend was silent for too long"))
                return
        self._timer = asyncio.get_running_loop().call_later(left, self._look)


def _not_yet(data: bytes, at: int) -> int:
    """Return `at`: the end of a head that begins there has yet to come."""
    if len(data) - at > MOST_HEAD:
        raise LostError("the head of the backend's answer, or of a chunk, is too large")
    return at


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].rstrip()
    try:
        if digits.isalnum():  # int() takes signs and spaces too
            return int(digits, 16)
    except ValueError:
        pass
    raise LostError("a chunk of the backend's answer has no size that can be read")
