"""listen: the port of the gRPC face, and the connections to it, of which there are not too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from ...errors import ServeError
from ..http2.caller_connection import HANDSHAKE_SECONDS, CallerConnection
from .front import GrpcFront

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024
SWEEP_SECONDS = 1.0  # between looks at all connections and streams, and so what a timer may be late
CLOSE_SECONDS = 1.0  # for the last responses and errors to leave when the server ends
SAY_SECONDS = 10.0  # between two lines in the log that say the same of many connections
BACKLOG = 128  # connections that the system holds until they are accepted
POLL_SECONDS = 0.01


class Keeper:
    """The connections of the port, at most `most`. Where there is no room, the caller with the most makes it."""

    def __init__(self, most: int) -> None:
        self.all: set[CallerConnection] = set()
        self._most = most
        self._by_caller: dict[str, set[CallerConnection]] = {}  # none is empty
        self._said: dict[str, float] = {}  # when each line was last logged

    def add(self, connection: CallerConnection) -> bool:
        """Return whether there is room for one more, which is kept then."""
        if len(self.all) >= self._most and not self._make_room(connection.caller):
            self._say("a gRPC connection was refused: %d are open and busy")
            return False
        self.all.add(connection)
        self._by_caller.setdefault(connection.caller, set()).add(connection)
        return True

    def discard(self, connection: CallerConnection) -> None:
        """Forget a connection that has ended."""
        if connection in self.all:
            self.all.discard(connection)
            own = self._by_caller[connection.caller]
            own.discard(connection)
            if not own:
                del self._by_caller[connection.caller]

    def _make_room(self, caller: str) -> bool:
        """End a connection for a new one of `caller`; return whether one was found.

        Asked are callers with at least as many connections as this one, those with the most first. Each gives up the
        one that has been silent for longest. What runs is never ended.
        """
        least = len(self._by_caller.get(caller, ()))
        for own in sorted(self._by_caller.values(), key=len, reverse=True):
            if len(own) < least:
                return False
            if idle := [connection for connection in own if not connection.busy]:
                oldest = min(idle, key=lambda connection: connection.heard_at)
                self.discard(oldest)
                if oldest.transport is not None:
                    oldest.transport.abort()
                self._say("silent gRPC connections made room: %d are open")
                return True
        return False

    def _say(self, line: str) -> None:
        now = time.monotonic()
        if now - self._said.get(line, -SAY_SECONDS) > SAY_SECONDS:
            self._said[line] = now
            logger.warning(line, self._most)

    async def watch(self, front: GrpcFront) -> None:
        """Look after connections and streams until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for watch in (*(connection.watch for connection in self.all), front.watch):
                try:
                    watch(now)
                except Exception:  # one connection must not end the timers of all others
                    logger.exception("timers failed")

    async def close(self) -> None:
        """Let calls end within CLOSE_SECONDS, then end all connections."""
        for connection in tuple(self.all):
            connection.depart()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self.all and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        for connection in tuple(self.all):
            if connection.transport is not None:
                connection.transport.abort()


@contextlib.asynccontextmanager
async def listen(front: GrpcFront, host: str, port: int, most: int = MOST_CONNECTIONS) -> AsyncIterator[Keeper]:
    """Answer gRPC on `host`:`port` inside the block, which gets its connections; `most` may be open at once.

    Raises:
        ServeError: the port is taken.
    """
    keeper = Keeper(most)
    tls = None if front.entry.tls is None else front.entry.tls.http2_context
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: CallerConnection(front.outbox, keeper, front.begin),
            host.strip("[]"),
            port,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_SECONDS,
            backlog=BACKLOG,
        )
    except OSError as exc:
        raise ServeError(f"gRPC cannot listen on {host}, port {port}: {exc.strerror}") from exc
    watching = asyncio.create_task(keeper.watch(front))
    try:
        yield keeper
    finally:
        watching.cancel()
        server.close()
        await keeper.close()
        await front.aclose()
