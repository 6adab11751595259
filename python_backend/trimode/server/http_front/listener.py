"""listen: the port of the HTTP face, and the connections to it, of which there are not too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from ...errors import Refusal, TrimodeError
from ..access.tls import ServerTls
from ..backend_client import OUT_OF_RESOURCES
from ..error_answer import error_response
from .connection import Connection, request_maker

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024
"""As gRPC's. 80 requests run or wait; the rest are connections between two requests, which take 8 KiB each."""
MOST_REFUSED = 32  # connections that read their refusal; where one more comes, the first of them has had its time
SWEEP_SECONDS = 0.5  # between looks at all connections, and so what a timer may be late
HANDSHAKE_SECONDS = 20.0  # as for a head, which comes after it
SHUTDOWN_SECONDS = 2.0  # for open connections to end; requests have had the server's exit timeout before
SAY_SECONDS = 10.0  # between two lines in the log that say the same of many connections
BACKLOG = 128  # connections that the system holds until they are accepted; asyncio accepts as many at once

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Keeper:
    """Keeps the connections of one port. Where there is no room, the one that was idle for longest makes it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._served: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # those of the served that are, the longest first
        self._refused: dict[Connection, None] = {}  # the first to be refused first
        self._said: dict[str, float] = {}  # when each line was last logged

    def add(self, connection: Connection) -> TrimodeError | None:
        """Take a new connection, or return why it is refused."""
        if len(self._served) >= self.most:
            if not self._idle:
                return self._full(connection)
            oldest = next(iter(self._idle))
            self.discard(oldest)
            oldest.force_close()
        self._served.add(connection)
        self._idle[connection] = None
        return None

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._served.discard(connection)
        self._refused.pop(connection, None)
        self._idle.pop(connection, None)

    def note_busy(self, connection: Connection) -> None:
        """Note that a connection has something to do."""
        self._idle.pop(connection, None)

    def note_idle(self, connection: Connection) -> None:
        """Note that a connection waits for its caller's next request."""
        if connection in self._served:
            self._idle[connection] = None

    async def watch(self) -> None:
        """Look after the connections until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in (*self._served, *self._refused):
                try:
                    connection.watch(now)
                except Exception:  # one connection must not end the timers of all others
                    self._say("a connection's timers failed", exc_info=True)

    def log_unaccepted(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log that a connection could not be accepted, for want of files say; asyncio tries again after a second."""
        exc = context.get("exception")
        if isinstance(exc, OSError) and exc.errno in OUT_OF_RESOURCES:
            self._say(f"a connection could not be accepted: {exc.strerror}")
        else:
            loop.default_exception_handler(context)

    def _full(self, connection: Connection) -> TrimodeError:
        self._say(f"a connection was refused: {self.most} are open and busy, see --max-connections")
        if len(self._refused) >= MOST_REFUSED:
            oldest = next(iter(self._refused))
            self.discard(oldest)
            oldest.force_close()
        self._refused[connection] = None
        return Refusal("overloaded", f"{self.most} connections are open and busy")

    def _say(self, line: str, *, exc_info: bool = False) -> None:
        now = time.monotonic()
        if now - self._said.get(line, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[line] = now
            logger.warning(line, exc_info=exc_info)


@contextlib.asynccontextmanager
async def listen(
    handle: Handler, host: str, port: int, most: int = MOST_CONNECTIONS, tls: ServerTls | None = None
) -> AsyncIterator[None]:
    """Answer requests to `host`:`port` by `handle` inside the block; at most `most` connections are open at once."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        if connection.refusal:
            return error_response(connection.refusal.on_the_wire())
        response = await handle(request)
        if connection.broken:
            response.force_close()
        return response

    loop = asyncio.get_running_loop()
    connections = Keeper(most)
    server = web.Server(answer, request_factory=request_maker(loop), handler_cancellation=True)
    before = loop.get_exception_handler()
    loop.set_exception_handler(connections.log_unaccepted)
    # Those that are being accepted are not counted yet, and must not take the files that are left.
    backlog = max(min(BACKLOG, most // 2), 1)
    times = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}
    secure: dict[str, Any] = {} if tls is None else {"ssl": tls.context, **times}
    listening = await loop.create_server(lambda: Connection(server, connections), host, port, backlog=backlog, **secure)
    watching = asyncio.create_task(connections.watch())
    try:
        yield
    finally:
        listening.close()
        server.pre_shutdown()
        await server.shutdown(SHUTDOWN_SECONDS)
        watching.cancel()
        loop.set_exception_handler(before)
