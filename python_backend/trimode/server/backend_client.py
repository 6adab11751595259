"""A small HTTP/1.1 client for one tritonserver on loopback: pooled connections, answers read part by part.

Knows the protocol as far as that server speaks it; no URLs, and nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType

from ..errors import LostError

HEAD_LIMIT = 64 * 1024  # bytes of an answer's head or of a line within its body; Triton's are a few hundred


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def usable(self) -> bool:
        """Whether it is open on both ends."""
        return not (self.writer.is_closing() or self.reader.at_eof())

    def abort(self) -> None:
        """Close at once, without waiting for what is still to be sent or read."""
        self.writer.transport.abort()


class Answer:
    """Status, content type and body of one answer.

    Attributes:
        complete: the body was read to its end, so the connection can be used again.
    """

    def __init__(self, connection: Connection, head: bytes, silence: float) -> None:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.status = int(status_line.split(" ", 2)[1])
        self.content_type = headers.get("content-type", "application/json")
        self.complete = False
        self._connection = connection
        self._silence = silence
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._length = int(headers.get("content-length", 0))

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            LostError: it ended early, or is not HTTP.
            TimeoutError: nothing came for `silence` seconds.
        """
        with _lost_connections():
            while True:
                async with asyncio.timeout(self._silence):
                    part = await self._part()
                if self.complete:
                    if part:
                        yield part
                    return
                yield part

    async def _part(self) -> bytes:
        """Return the next part; sets `complete` with the last one."""
        reader = self._connection.reader
        if not self._chunked:
            body = await reader.readexactly(self._length)
            self.complete = True
            return body
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = (await reader.readexactly(size + 2))[:-2]
        self.complete = size == 0
        return data

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([part async for part in self.parts()])


class Exchange:
    """`async with` of one request: sends it, gives the Answer, then keeps or aborts the connection."""

    def __init__(self, backend: BackendClient, request: bytes, silence: float) -> None:
        self._backend = backend
        self._request = request
        self._silence = silence
        self._connection: Connection | None = None
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        """Send the request and wait for the answer's head.

        Raises:
            ConnectionRefusedError: nobody listens.
            LostError, TimeoutError: see Answer.parts.
        """
        self._connection = await self._backend.connect()
        try:
            with _lost_connections():
                async with asyncio.timeout(self._silence):
                    self._connection.writer.write(self._request)
                    await self._connection.writer.drain()
                    head = await self._connection.reader.readuntil(b"\r\n\r\n")
                self._answer = Answer(self._connection, head, self._silence)
            return self._answer
        except BaseException:
            self._connection.abort()
            raise

    @property
    def complete(self) -> bool:
        """Whether there was an answer, and it was read to its end."""
        return self._answer is not None and self._answer.complete

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the connection if the answer was read to its end."""
        assert self._connection is not None
        if self.complete:
            self._backend.keep(self._connection)
        else:
            self._connection.abort()


class BackendClient:
    """The server at a loopback port and the idle connections to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []
        self._closing = False

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, silence: float
    ) -> Exchange:
        """Prepare a request; `silence` is the longest pause, in seconds, before and within the answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return Exchange(self, "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body, silence)

    async def connect(self) -> Connection:
        """Return an idle connection or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        return Connection(*await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD_LIMIT))

    def keep(self, connection: Connection) -> None:
        """Take a connection back for the next request."""
        if self._closing:
            connection.abort()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections now, and each other one after its answer; a Triton that ends waits for them."""
        self._closing = True
        while self._idle:
            self._idle.pop().abort()


@contextlib.contextmanager
def _lost_connections() -> Iterator[None]:
    try:
        yield
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as exc:
        raise LostError(str(exc)) from exc
