"""listen: the port of the HTTP face, and the connections to it, of which there are not too many."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from ...errors import Refusal
from ..access.connection_keeper import ConnectionKeeper
from ..access.tls import ServerTls
from ..backend_client import OUT_OF_RESOURCES
from .closing import Refuse, refuse_plainly
from .connection import Connection
from .request_maker import request_maker

MOST_CONNECTIONS = 1024
"""As gRPC's. 80 requests run or wait; the rest are connections between two requests, which take 8 KiB each."""
MOST_REFUSED = 32  # connections that read their refusal; where one more comes, the first of them has had its time
SWEEP_SECONDS = 0.5  # between looks at all connections, and so what a timer may be late
HANDSHAKE_SECONDS = 20.0  # as for a head, which comes after it
SHUTDOWN_SECONDS = 2.0  # for open connections to end; requests have had the server's exit timeout before
BACKLOG = 128  # connections that the system holds until they are accepted; asyncio accepts as many at once

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Keeper(ConnectionKeeper[Connection]):
    """The connections of one port, and those whose callers read why they were refused."""

    def __init__(self, most: int, setting: str = "", refusal: Refuse = refuse_plainly) -> None:
        """Keep none yet; see ConnectionKeeper, and `listen` for `refusal`."""
        super().__init__(most, setting=setting)
        self.refusal_of = refusal
        self._refused: dict[Connection, None] = {}  # the first to be refused first

    def add(self, connection: Connection) -> Refusal | None:
        """Take a new connection, or return why it is refused."""
        error = super().add(connection)
        if error is not None:
            self._refuse(connection)
        return error

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._refused.pop(connection, None)
        super().discard(connection)

    def free_one(self, own: set[Connection], count: int) -> bool:
        """End one of a caller's connections for a new one of a caller with `count`; return whether that could be.

        If none is idle, it is the one that has let us wait for longest: for its head, its body, or until it reads. A
        caller gives that up for one who will still have fewer.
        """
        if super().free_one(own, count):
            return True
        slow = [(since, id(one), one) for one in own if (since := one.waiting_since) is not None]
        if not slow or len(own) < count + 2:
            return False
        slowest = min(slow)[-1]
        self.discard(slowest)
        self._refuse(slowest)
        slowest.give_up(Refusal("overloaded", "the connection was slow, and made room for another caller"))
        return True

    def _refuse(self, connection: Connection) -> None:
        """Keep a connection for as long as its caller may take to read why it is refused."""
        if len(self._refused) >= MOST_REFUSED:
            oldest = next(iter(self._refused))
            self.discard(oldest)
            oldest.drop()
        self._refused[connection] = None

    async def sweep(self) -> None:
        """Look after the connections until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.watch(time.monotonic(), *(connection.watch for connection in self._refused))

    def log_unaccepted(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log that a connection could not be accepted, for want of files say; asyncio tries again after a second."""
        exc = context.get("exception")
        if isinstance(exc, OSError) and exc.errno in OUT_OF_RESOURCES:
            self.say(f"a connection could not be accepted: {exc.strerror}")
        else:
            loop.default_exception_handler(context)


@contextlib.asynccontextmanager
async def listen(
    handle: Handler,
    host: str,
    port: int,
    most: int = MOST_CONNECTIONS,
    tls: ServerTls | None = None,
    setting: str = "",
    refusal: Refuse = refuse_plainly,
) -> AsyncIterator[None]:
    """Answer requests to `host`:`port` by `handle` inside the block.

    Args:
        handle: answers one request.
        host, port: where to listen.
        most: how many connections are open at once.
        tls: what the port speaks TLS with; None for plain HTTP.
        setting: the option that sets `most`, for the log, if there is one.
        refusal: makes the answer to an error that `handle` does not hear of.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        if connection.refusal:
            return refusal(request.path, connection.refusal)
        response = await handle(request)
        if connection.broken:
            response.force_close()
        return response

    loop = asyncio.get_running_loop()
    connections = Keeper(most, setting, refusal)
    server = web.Server(answer, request_factory=request_maker(loop), handler_cancellation=True)
    before = loop.get_exception_handler()
    loop.set_exception_handler(connections.log_unaccepted)
    # Those that are being accepted are not counted yet, and must not take the files that are left.
    backlog = max(min(BACKLOG, most // 2), 1)
    times = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": SHUTDOWN_SECONDS}
    secure: dict[str, Any] = {} if tls is None else {"ssl": tls.context, **times}
    listening = await loop.create_server(lambda: Connection(server, connections), host, port, backlog=backlog, **secure)
    watching = asyncio.create_task(connections.sweep())
    try:
        yield
    finally:
        listening.close()
        server.pre_shutdown()
        await server.shutdown(SHUTDOWN_SECONDS)
        watching.cancel()
        await asyncio.wait({watching})
        loop.set_exception_handler(before)
