"""Requests to one tritonserver on this machine; answers are read part by part, as Triton sent them.

Keeps the connections; reads none. Knows nothing of what is asked.

The connections are of http1/ because aiohttp's client, which was used before, took a third of the time that this
process spent on an answer: docs/internals/design-notes.md has the figures.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ..errors import ExhaustedError
from .http1.backend_connection import BackendConnection, Head

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
"""Errors of this process or machine, which say nothing about the server that was to be asked."""
JSON = {"Content-Type": "application/json"}
"""Headers of a request with a JSON body."""
MOST_IDLE = 32
"""Connections that are kept for further requests: some 80 may run at once, most often far fewer do."""


class Answer:
    """Status, content type and body of one answer."""

    def __init__(self, connection: BackendConnection, head: Head) -> None:
        self.status = head.status
        self.content_type = head.content_type
        self._connection = connection

    @property
    def complete(self) -> bool:
        """Whether the body has come to its end; the last part may have yet to be read."""
        return self._connection.complete

    def next(self) -> Awaitable[bytes]:
        """Return, once awaited, what came of the body: whole chunks, all that came together; b"" at the end.

        Raises:
            LostError: it ended early, or is not HTTP.
            TimeoutError: nothing came for `silence` seconds.
        """
        return self._connection.next()  # which is what is awaited: one step less for each part

    async def read(self) -> bytes:
        """Return the whole body, or the rest of it; errors are those of `next`."""
        parts = []
        while part := await self._connection.next():
            parts.append(part)
        return b"".join(parts)


class BackendClient:
    """The server at a loopback port, or at a Unix socket, and the connections to it."""

    def __init__(self, port: int, socket: Path | None = None) -> None:
        self._port = port
        self._socket = socket
        self._idle: list[BackendConnection] = []  # the one that was used last is the last
        self._closing = False

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, silence: float
    ) -> AbstractAsyncContextManager[Answer]:
        """Send a request and give its answer; `silence` is the longest pause, in seconds, before and within it.

        Raises:
            ConnectionRefusedError: nobody listens.
            ExhaustedError: this process cannot open a connection.
            LostError, TimeoutError: see Answer.next.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in (headers or {}).items()])
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return _Exchange(self, head.encode("latin-1") + body, silence)

    async def aclose(self) -> None:
        """Close the connections: those that are idle now, each other one after its answer; a Triton that ends waits."""
        self._closing = True
        while self._idle:
            self._idle.pop().close()

    def keep(self, connection: BackendConnection) -> None:
        """Take back a connection on which nothing runs any more."""
        if self._closing or len(self._idle) >= MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    async def connection(self, silence: float) -> BackendConnection:
        """Return a connection on which nothing runs; errors are those of `request`."""
        while self._idle:
            if (kept := self._idle.pop()).usable:
                return kept
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(silence):
                if self._socket is not None:
                    _, made = await loop.create_unix_connection(BackendConnection, str(self._socket))
                else:
                    _, made = await loop.create_connection(BackendConnection, "127.0.0.1", self._port)
        except FileNotFoundError as exc:  # a socket that nobody has made yet
            raise ConnectionRefusedError(str(exc)) from exc
        except TimeoutError:
            raise
        except OSError as exc:
            if exc.errno in OUT_OF_RESOURCES:
                raise ExhaustedError(f"the server cannot ask its backend: {exc.strerror}") from exc
            raise
        return made


class _Exchange(AbstractAsyncContextManager[Answer]):
    """One request and its answer."""

    def __init__(self, client: BackendClient, request: bytes, silence: float) -> None:
        self._client = client
        self._request = request
        self._silence = silence
        self._connection: BackendConnection | None = None

    async def __aenter__(self) -> Answer:
        connection = self._connection = await self._client.connection(self._silence)
        try:
            connection.send(self._request, self._silence)
            self._request = b""  # an answer may take minutes
            return Answer(connection, await connection.started())
        except BaseException:
            self._end(connection)
            raise

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        self._end(self._connection)

    def _end(self, connection: BackendConnection) -> None:
        connection.release()
        if connection.usable:
            self._client.keep(connection)
