"""A listener of the HTTP face in this process, and what callers send it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from trimode.errors import TrimodeError
from trimode.server.error_answer import error_response
from trimode.server.http_front.body import read_body
from trimode.server.http_front.connection import Connection
from trimode.server.http_front.listener import listen
from trimode.server.ports import LOOPBACK, free_port
from trimode.server.serving import Limits

PATIENCE = 20.0  # seconds for what should come at once
LARGE = 64 * 2**20  # bytes, more than the system takes for a caller that does not read
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """A POST request; `length` is what its head says of the body, -1 for nothing."""
    lines = [b"POST / HTTP/1.1", b"Host: x", *headers]
    if length != -1:
        lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def kind_of(answer: tuple[int, dict[str, str]]) -> tuple[int, str]:
    status, body = answer
    return status, body["error"].partition(":")[0]


class Scene:
    """Answers a request with its body's length, by way of `wait` if the path is /wait."""

    def __init__(self, most: int = 100, limits: Limits | None = None) -> None:
        self.port = free_port(())
        self.cancelled = 0
        self.begun = 0
        self.connections: set[Connection] = set()  # those of its requests
        self.paused = 0  # answers that no caller takes to their end without reading
        self.go = asyncio.Event()
        self.most = most
        self.limits = limits or Limits(body_bytes=1000)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.begun += 1
        assert isinstance(request.protocol, Connection)
        self.connections.add(request.protocol)
        try:
            async with read_body(request, self.limits) as body:
                if request.raw_path == "/wait":
                    await self.go.wait()
                if request.raw_path == "/large":
                    self.paused += 1
                    return web.Response(body=bytes(LARGE))
                return web.json_response({"length": len(body)})
        except TrimodeError as exc:
            return error_response(exc.on_the_wire())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def call(self, address: str = LOOPBACK) -> Caller:
        """Connect, as a caller at this address."""
        return Caller(*await asyncio.open_connection(LOOPBACK, self.port, local_addr=(address, 0)))

    async def ask(self, *parts: bytes, address: str = LOOPBACK) -> tuple[int, Any]:
        """Send the parts a moment apart over a connection of its own and return the answer."""
        async with asyncio.timeout(PATIENCE), await self.call(address) as caller:
            for part in parts:
                caller.send(part)
                await asyncio.sleep(0.02)
            return await caller.answer()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                await asyncio.sleep(0.01)


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.interim = 0  # answers of status 100 so far

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, Any]:
        """The status and JSON of the next answer; it must be HTTP/1.1."""
        while True:
            head = await self.reader.readuntil(b"\r\n\r\n")
            version, status = head.split(maxsplit=2)[:2]
            assert version == b"HTTP/1.1", head
            if status != b"100":
                break
            self.interim += 1
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return int(status), json.loads(await self.reader.readexactly(length))

    async def ended(self) -> bool:
        """Whether the server closes the connection without another byte."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def play(act: Callable[[Scene], Awaitable[None]], most: int = 100, limits: Limits | None = None) -> None:
    """Let `act` call a listener."""

    async def run() -> None:
        scene = Scene(most, limits)
        async with (
            listen(scene.handle, LOOPBACK, scene.port, scene.most, setting="--max-connections"),
            asyncio.timeout(PATIENCE),
        ):
            await act(scene)

    asyncio.run(run())
