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
from .closing import Refuse, refuse_plainly
from .connection import Connection
from .request_maker import request_maker

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


class Group:
    """The connections of one caller.

    Attributes:
        served: all that are not refused.
        idle: those of them that wait for a next request, the one that has waited for longest first.
    """

    def __init__(self) -> None:
        self.served: set[Connection] = set()
        self.idle: dict[Connection, None] = {}


class Keeper:
    """Keeps the connections of one port, at most `most`. Where there is no room, the caller with the most makes it."""

    def __init__(self, most: int, setting: str = "", refusal: Refuse = refuse_plainly) -> None:
        """Keep none yet; `setting` is the option that sets `most`, if there is one; see `listen` for `refusal`."""
        self.most = most
        self.refusal_of = refusal
        self._setting = setting
        self._count = 0  # of those that are served
        self._groups: dict[str, Group] = {}  # by caller; none is empty
        self._refused: dict[Connection, None] = {}  # the first to be refused first
        self._said: dict[str, float] = {}  # when each line was last logged

    def add(self, connection: Connection) -> TrimodeError | None:
        """Take a new connection, or return why it is refused."""
        if self._count >= self.most and not self._make_room(connection.caller):
            self._say_full()
            self._refuse(connection)
            return Refusal("overloaded", f"{self.most} connections are open and busy")
        group = self._groups.setdefault(connection.caller, Group())
        group.served.add(connection)
        group.idle[connection] = None
        self._count += 1
        return None

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._refused.pop(connection, None)
        group = self._groups.get(connection.caller)
        if group is None or connection not in group.served:
            return
        group.served.discard(connection)
        group.idle.pop(connection, None)
        self._count -= 1
        if not group.served:
            del self._groups[connection.caller]

    def note_busy(self, connection: Connection) -> None:
        """Note that a connection has something to do."""
        if group := self._groups.get(connection.caller):
            group.idle.pop(connection, None)

    def note_idle(self, connection: Connection) -> None:
        """Note that a connection waits for its caller's next request."""
        if (group := self._groups.get(connection.caller)) and connection in group.served:
            group.idle[connection] = None

    def _make_room(self, caller: str) -> bool:
        """End a connection for a new one of `caller`; return whether one was found.

        Asked are callers with at least as many connections as this one, those with the most first. Each gives up the
        one that is idle for longest. If none is, one with two more at least gives up the one that has let us wait for
        longest: for its head, its body, or until it reads. What runs is never ended.
        """
        own = len(self._groups[caller].served) if caller in self._groups else 0
        for group in sorted(self._groups.values(), key=lambda group: len(group.served), reverse=True):
            if len(group.served) < own:
                break
            if group.idle:
                oldest = next(iter(group.idle))
                self.discard(oldest)
                oldest.force_close()
                return True
            if len(group.served) < own + 2:
                continue
            slow = [(since, one) for one in group.served if (since := one.waiting_since) is not None]
            if slow:
                _, slowest = min(slow, key=lambda found: found[0])
                self.discard(slowest)
                self._refuse(slowest)
                slowest.give_up(Refusal("overloaded", "the connection was slow, and made room for another caller"))
                return True
        return False

    def _refuse(self, connection: Connection) -> None:
        """Keep a connection for as long as its caller may take to read why it is refused."""
        if len(self._refused) >= MOST_REFUSED:
            oldest = next(iter(self._refused))
            self.discard(oldest)
            oldest.force_close()
        self._refused[connection] = None

    async def watch(self) -> None:
        """Look after the connections until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            served = [connection for group in self._groups.values() for connection in group.served]
            for connection in (*served, *self._refused):
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

    def _say_full(self) -> None:
        see = f", see {self._setting}" if self._setting else ""
        self._say(f"a connection was refused: {self.most} are open and busy{see}")

    def _say(self, line: str, *, exc_info: bool = False) -> None:
        now = time.monotonic()
        if now - self._said.get(line, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[line] = now
            logger.warning(line, exc_info=exc_info)


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
    watching = asyncio.create_task(connections.watch())
    try:
        yield
    finally:
        listening.close()
        server.pre_shutdown()
        await server.shutdown(SHUTDOWN_SECONDS)
        watching.cancel()
        await asyncio.wait({watching})
        loop.set_exception_handler(before)
