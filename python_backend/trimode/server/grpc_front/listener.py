"""listen: the port of the gRPC face, and the connections to it, of which there are not too many."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from ...errors import ServeError
from ..access.connection_keeper import ConnectionKeeper
from ..http2.caller_connection import HANDSHAKE_SECONDS, CallerConnection
from .front import GrpcFront

MOST_CALLERS = 1024
SWEEP_SECONDS = 1.0  # between looks at all connections and streams, and so what a timer may be late
CLOSE_SECONDS = 1.0  # for the last responses and errors to leave when the server ends
BACKLOG = 128  # connections that the system holds until they are accepted
POLL_SECONDS = 0.01


class Keeper(ConnectionKeeper[CallerConnection]):
    """The connections of the port."""

    async def sweep(self, front: GrpcFront) -> None:
        """Look after connections and streams until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.watch(time.monotonic(), front.watch)

    async def close(self) -> None:
        """Let calls end within CLOSE_SECONDS, then end all connections."""
        for connection in self.all:
            connection.depart()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self.all and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        for connection in self.all:
            connection.drop()


@contextlib.asynccontextmanager
async def listen(front: GrpcFront, host: str, port: int, most: int = MOST_CALLERS) -> AsyncIterator[Keeper]:
    """Answer gRPC on `host`:`port` inside the block, which gets its connections; `most` may be open at once.

    Raises:
        ServeError: the port is taken.
    """
    keeper = Keeper(most, "gRPC ")
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
    watching = asyncio.create_task(keeper.sweep(front))
    try:
        yield keeper
    finally:
        watching.cancel()
        server.close()
        await keeper.close()
        await front.aclose()
