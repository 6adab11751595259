"""Connection: one caller's HTTP/1 connection. aiohttp reads requests and writes answers; this watches over it.

What is no request is answered in JSON, a caller that is too slow is sent away, and one that only stops sending gets its
answer. Knows nothing of what is asked. aiohttp's private `_messages` is read in one place, `_note_broken_body`, and its
`_parser` is replaced in one, `__init__`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import time
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from ...errors import Refusal, TrimodeError
from ..caller import neighbours
from .ahead import Ahead, parser_for
from .closing import Closing, Refuse, last_answer
from .unreadable import path_in, unreadable, words_of

logger = logging.getLogger(__name__)

BEGINNING_BYTES = 1024  # of a head, which say whose form an error has; the paths that are served are far shorter
HEAD_SECONDS = 20.0
"""From the first byte of a head to its last; most heads are one packet, so this allows for several lost ones."""
IDLE_SECONDS = 75.0
"""Between two requests of a connection; longer than clients keep theirs, which then close first."""
WRITE_SECONDS = 60.0
"""For a caller to read on, once the system takes no more of its answer."""
REFUSED_SECONDS = 1.0
"""For a refused caller to read why; a connection closed while bytes come in would be reset, and the answer lost."""
AIOHTTP_IDLE_SECONDS = 10 * IDLE_SECONDS  # aiohttp's own timer would also cut off a head that has begun
GONE_SECONDS = 0.05  # for the network to say that nobody listens any more; on one machine it takes far less
OPTIONS: dict[str, Any] = {
    "keepalive_timeout": AIOHTTP_IDLE_SECONDS,
    "logger": logger,
    "access_log": None,  # no log
    "auto_decompress": False,  # body.py does it, and says what is wrong
}
"""How aiohttp's own part of a connection behaves."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()  # the first byte of a request
    HEAD = enum.auto()  # the rest of its head
    ANSWER = enum.auto()  # the end of its answer
    REST = enum.auto()  # the rest of a body that was answered unread; aiohttp ends this after 10 s
    REFUSED = enum.auto()  # the caller to leave


IDLE, HEAD, ANSWER, REST, REFUSED = Phase  # found faster than by way of the class


class Connections(Protocol):
    """What a connection says to the keeper of all of them, and asks it."""

    @property
    def refusal_of(self) -> Refuse:
        """What makes the answer to an error."""

    def add(self, connection: Connection) -> TrimodeError | None:
        """Take a new connection, or return why it is refused."""

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""


class Connection(web.RequestHandler):
    """Serves one connection of `connections`.

    Attributes:
        caller: whose it is; see caller.neighbours.
        refusal: why its request is refused before anybody reads it; None if it is not.
        broken: its body cannot be read on, nor what follows it.
    """

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **OPTIONS)
        self._parser = parser_for(self, self._read_bufsize)
        self._ahead = Ahead()
        self._begun = b""  # the first bytes of the last head
        self._connections = connections
        self._phase = IDLE
        self._since = time.monotonic()  # of the phase
        self._paused_since: float | None = None  # since when the system takes no more of the answer
        self._request: web.BaseRequest | None = None  # that is being answered, or whose body still comes
        self._ended = False  # the caller sends no more
        self.caller = ""
        self.refusal: TrimodeError | None = None
        self.broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse the caller for want of room."""
        super().connection_made(transport)
        self.caller = neighbours(transport.get_extra_info("peername"))
        if error := self._connections.add(self):
            self.refuse(error)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; aiohttp cancels the handler of a request that runs."""
        self._connections.discard(self)
        self._request = None  # which has this connection: a circle is freed late
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        phase = self._phase
        if phase is REFUSED:
            return
        if phase is ANSWER and self._has_body():
            self._ahead.keep(data)  # reading it shows when the caller leaves
            return
        if phase is IDLE and data:
            self._begun = data[:BEGINNING_BYTES]
            self._enter(HEAD)
        super().data_received(data)
        if phase is REST and self._has_body():
            self._wait()
        elif phase is ANSWER and self._messages:
            self._note_broken_body()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's says None, asyncio asks for this
        """Return whether to keep the connection: a caller may send all it has to say and wait for the answer."""
        self._ended = True
        if self._phase is HEAD:
            self.refuse(Refusal("bad_request", "the connection ended within the head of a request"))
        elif self._phase is ANSWER and not self._has_body():
            self._break_body("the connection ended within it")
        elif self._phase is ANSWER:
            for late in (1, 2):  # not at once, so that a quick answer has nothing in front of it
                asyncio.get_running_loop().call_later(late * GONE_SECONDS, self._look_whether_gone)
        return self._phase is ANSWER and not speaks_tls(self.transport)  # of TLS asyncio ends both directions at once

    def pause_writing(self) -> None:
        """Note that the caller does not read its answer."""
        super().pause_writing()
        self._paused_since = time.monotonic()

    def resume_writing(self) -> None:
        """Note that it does again."""
        super().resume_writing()
        self._paused_since = None

    def began(self, request: web.BaseRequest) -> None:
        """Note that the head of `request` is complete and it is being answered."""
        self._request = request
        self._enter(ANSWER)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Note that an answer was sent: aiohttp calls this then. Nothing is logged."""
        if self._phase is ANSWER:
            if self._has_body():
                self._wait()
            else:
                self._enter(REST)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what could not be read as a request; a handler's own errors are not answered.

        Raises:
            ConnectionResetError: the caller left, or has a part of its answer already.
        """
        if not isinstance(exc, HttpProcessingError):
            gone = self.transport is None or self.transport.is_closing()
            if not (gone or isinstance(exc, ConnectionError)):
                self.logger.error("an answer could not be finished", exc_info=exc)
            raise ConnectionResetError("nobody to answer")
        error = unreadable(exc)
        logger.warning("refused %s: %s", request.remote, error.on_the_wire())
        return Closing(self._connections.refusal_of(path_in(self._begun), error), self.end, REFUSED_SECONDS)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp did not foresee; a body that cannot be read was answered, or nobody waits for it."""
        if not isinstance(kw.get("exc_info"), HttpProcessingError | web.RequestPayloadError | ConnectionError):
            self.logger.error(*args, **kw)

    def refuse(self, error: TrimodeError) -> None:
        """Answer outside of any request, and close the connection when the caller has had time to read that."""
        if self.transport is not None:
            self.transport.write(last_answer(self._connections.refusal_of(path_in(self._begun), error)))
        self.end()

    def give_up(self, error: TrimodeError) -> None:
        """End in the midst of a request: by `error`, or at once where a part of the answer was sent already."""
        if self._request is None or self._request.writer.output_size == 0:
            self.refuse(error)
        elif self.transport is not None:
            self.transport.abort()

    def end(self) -> None:
        """Send and read no more; the connection closes soon, or when its caller closes it."""
        self._enter(REFUSED)
        with contextlib.suppress(OSError, RuntimeError):  # the caller is gone
            if self.transport is not None:
                self.transport.write_eof()

    @property
    def idle_since(self) -> float | None:
        """Since when (time.monotonic) it waits for its caller's next request; None if it does not."""
        return self._since if self._phase is IDLE else None

    def drop(self) -> None:
        """End at once."""
        self.force_close()

    @property
    def waiting_since(self) -> float | None:
        """Since when (time.monotonic) it waits for its caller in the midst of a request; None if it does not."""
        if self._paused_since is not None:
            return self._paused_since
        slow = self._phase in (HEAD, REST) or (self._phase is ANSWER and not self._has_body())
        return self._since if slow else None

    def watch(self, now: float) -> None:
        """Send away, at `now` (time.monotonic), a caller that is too slow or gone."""
        seconds = now - self._since
        if self._paused_since is not None and now - self._paused_since > WRITE_SECONDS:
            if self.transport is not None:
                self.transport.abort()
        elif self._phase is HEAD and seconds > HEAD_SECONDS:
            self.refuse(Refusal("request_timeout", f"the head of the request took more than {HEAD_SECONDS:g} s"))
        elif self._phase is ANSWER and self._ended:
            self._look_whether_gone()
        elif (self._phase is IDLE and (self._ended or seconds > IDLE_SECONDS)) or (
            self._phase is REFUSED and seconds > REFUSED_SECONDS
        ):
            self.force_close()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = time.monotonic()

    def _wait(self) -> None:
        """Wait for the next request."""
        self._request, self._begun = None, b""
        self._enter(IDLE)
        try:
            ahead = self._ahead.take()
        except Refusal as exc:
            self.refuse(exc)
            return
        if ahead:
            self._begun = ahead[:BEGINNING_BYTES]
            self._enter(HEAD)
        super().data_received(ahead)  # without any too: the parser has what followed the last request in its packet

    def _has_body(self) -> bool:
        """Whether the body of the last request has arrived to its end."""
        return self._request is None or self._request.content.is_eof()

    def _look_whether_gone(self) -> None:
        """Send an interim answer: its second copy shows whether a caller that sends no more still listens.

        A caller that left and one that closed its sending side look the same until something is sent to them.
        """
        request = self._request
        if self._phase is not ANSWER or request is None or self.transport is None or request.version < HttpVersion11:
            return
        if request.writer.output_size == 0:  # else events or a body will show it
            self.transport.write(CONTINUE)

    def _note_broken_body(self) -> None:
        """Let the handler know that its body cannot be read on; aiohttp keeps that error until the next request."""
        exc = getattr(self._messages[-1][0], "exc", None)
        if exc is not None and not self._has_body():
            self._break_body(words_of(exc))

    def _break_body(self, why: str) -> None:
        self.broken = True
        assert self._request is not None
        self._request.content.set_exception(web.RequestPayloadError(why))


def speaks_tls(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether a connection is encrypted."""
    return transport is not None and transport.get_extra_info("ssl_object") is not None
