"""Incoming: the half of a call that reads: messages out of data, in order, held back while they have nowhere to go.

Knows nothing of answers.
"""

from __future__ import annotations

import asyncio

from ...errors import Refusal, TrimodeError, shorten
from ..http2.frames import MAX_FRAME
from ..http2.stream import Stream
from ..http_front.bodies import Bodies
from ..http_front.body import decoded
from ..serving import Limits
from .arrival import Arrival
from .call_listener import Listener
from .framing import PREFIX, MessageReader, not_whole, too_large


class Incoming:
    """The reading half of a call of `caller` with these header fields.

    Attributes:
        listener: hears of messages; without one they are passed over.
        most_bytes: of a message, compressed or not; can be set until `begin`.
    """

    _stream: Stream

    def __init__(self, limits: Limits, caller: str, head: dict[str, str]) -> None:
        self.listener: Listener | None = None
        self.most_bytes = limits.body_bytes
        self._head = head
        self._reader = MessageReader(self.most_bytes, self._take, self._too_large, self._is_ready)
        self._unread = bytearray()
        self._decoding = 0  # bytes of the message that is being decoded
        self._upload_seconds = limits.upload_seconds
        self._arrival = Arrival(limits, caller, self._make_room, self._late)

    def begin(self, listener: Listener) -> None:
        """Let messages come, for `listener`."""
        self.listener = listener
        self._reader = MessageReader(self.most_bytes, self._take, self._too_large, self._is_ready)
        self._count()

    def resume(self) -> None:
        """Read on, if what comes of it has somewhere to go."""
        if self._reader.stopped:
            self._reader.go_on()
        while self._unread and self._is_ready():
            part = bytes(self._unread[:MAX_FRAME])
            del self._unread[:MAX_FRAME]
            self._reader.feed(part)
        if not self._behind:
            self._stream.release()
            if self._stream.got_all:
                self._finish()
        self._count()

    def data(self, data: bytes) -> None:
        """Take bytes of messages."""
        if self.listener is None:
            return
        if self._behind or not self._is_ready():
            self._unread += data
            self._stream.hold()
        else:
            self._reader.feed(data)
            if self._reader.stopped:
                self._stream.hold()
        self._count()

    def ended(self) -> None:
        """Let the listener know, once it has had all messages."""
        if not self._behind:
            self._finish()

    def _break(self, error: TrimodeError) -> None:
        """End the call with an error."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """Hold nothing any more."""
        self._unread.clear()
        self._reader.close()
        self._arrival.close()

    def _finish(self) -> None:
        if self.listener is None:
            return
        if self._reader.within:
            self._break(not_whole("whole"))
        else:
            self._arrival.keep()
            self._count()
            self.listener.finished()

    def _is_ready(self) -> bool:
        """Whether the next message may come."""
        return self.listener is not None and not self._decoding and not self.listener.blocked

    @property
    def _behind(self) -> bool:
        """Whether something that came has yet to be read."""
        return bool(self._unread or self._decoding or self._reader.stopped)

    def _count(self) -> None:
        """Count what is held, and start or stop the timer of what is waited for."""
        if (listener := self.listener) is None:
            return
        awaited = None
        if listener.once and not self._stream.got_all:
            awaited = -1
        elif self._reader.within and not (self._stream.held or self._stream.got_all):
            awaited = self._reader.count
        size = self._reader.held + len(self._unread) + self._decoding + listener.held
        try:
            self._arrival.note(size, awaited)
        except Refusal as exc:
            self._let_go(exc)

    def _make_room(self) -> None:
        self._stream.tell(self._let_go, Bodies.refusal())

    def _let_go(self, error: Refusal) -> None:
        """Keep nothing of what arrives; where that is a message of a stream, the others go on."""
        if self.listener is None:
            return
        if not (self.listener.once or self._behind) and self._reader.pass_over():
            self.listener.refused(error)
            self._arrival.end()
            self._count()
        else:
            self._break(error)

    def _late(self) -> None:
        text = f"a message took more than {self._upload_seconds:g} s to arrive"
        self._stream.tell(self._break, Refusal("request_timeout", text))

    def _take(self, message: bytes) -> None:
        if self.listener is None:
            return
        if not message[0]:
            self.listener.message(message[PREFIX.size :])
            return
        coding = self._head.get("grpc-encoding", "identity")
        if coding not in ("gzip", "deflate"):
            text = f"a compressed message needs grpc-encoding gzip or deflate, got {shorten(coding)}"
            self._break(Refusal("unsupported_encoding", text))
            return
        self._decoding = len(message)
        asked = (message[PREFIX.size :], coding, self.most_bytes, "a message")
        found = asyncio.get_running_loop().run_in_executor(None, decoded, *asked)  # a few bytes may hold 8 MiB
        found.add_done_callback(lambda found: self._stream.tell(self._decoded, found, coding))

    def _decoded(self, found: asyncio.Future[bytes], coding: str) -> None:
        self._decoding = 0
        error = None if found.cancelled() else found.exception()
        if self.listener is None or found.cancelled():
            return
        if isinstance(error, Refusal):  # of HTTP's types one does not fit: a message is no JSON
            self._break(error if error.error_type == "too_large" else not_whole(coding))
            return
        self.listener.message(found.result())
        self.resume()

    def _too_large(self, size: int) -> None:
        if self.listener is not None:
            self.listener.refused(too_large(size, self.most_bytes))
