"""A bare relay: passes on the bytes of connections and does nothing else, so it is the least that a front can cost.

A process of its own, on an event loop like that of the server's fronts. `python -m` this module, with Unix sockets,
listens at a free port for each, prints the ports, and relays until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
from trimode_client.local_server import Addresses

from ...common.progress import MeasureError
from .behind import SOCKET, Behind

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10.0


class Side(asyncio.Protocol):
    """One of two connections; what comes on it leaves on the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._other: Side | None = None
        self._held: list[bytes] = []  # until the other is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._other is None or self._other.transport is None:
            self._held.append(data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other too."""
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()

    def join(self, other: Side) -> None:
        """Pass on what comes to `other`, and what came."""
        assert other.transport is not None
        self._other, other._other = other, self
        other.transport.write(b"".join(self._held))
        self._held.clear()


class Caller(Side):
    """The side that was called; it calls the socket."""

    def __init__(self, socket: str) -> None:
        super().__init__()
        self._socket = socket
        self._calling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and call the socket."""
        super().connection_made(transport)
        self._calling = asyncio.get_running_loop().create_task(self._call())

    async def _call(self) -> None:
        _, other = await asyncio.get_running_loop().create_unix_connection(Side, self._socket)
        self.join(other)


async def relay(sockets: Sequence[str]) -> None:
    """Relay to each socket until the input ends."""
    loop, ports = asyncio.get_running_loop(), []
    for socket in sockets:
        server = await loop.create_server(lambda socket=socket: Caller(socket), LOOPBACK, 0)  # type: ignore[misc]
        ports.append(str(server.sockets[0].getsockname()[1]))
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def relaying(triton: Behind) -> Iterator[tuple[Addresses, psutil.Process]]:
    """Run a relay to Triton's sockets inside the block, which gets its addresses and its process.

    Raises:
        MeasureError: Triton listens at ports, or the relay did not start.
    """
    sockets = [address.removeprefix(SOCKET) for address in (triton.grpc, triton.http) if address.startswith(SOCKET)]
    if len(sockets) < 2:
        raise MeasureError("Triton listens at ports; the relay is for Unix sockets")
    command = [sys.executable, "-m", __name__, *sockets]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None and process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) < 2:
            raise MeasureError("the relay did not start")
        grpc, http = (f"{LOOPBACK}:{port}" for port in ports)
        yield Addresses(grpc=grpc, http=http), psutil.Process(process.pid)
    finally:
        process.communicate(timeout=STOP_SECONDS)  # ends its input


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(relay(sys.argv[1:]))
