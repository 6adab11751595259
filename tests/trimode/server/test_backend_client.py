"""Requests to a server that sends bytes of our choice: what is sent, what is passed on, and what is an error."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from trimode.errors import ExhaustedError, LostError
from trimode.server.backend_client import BackendClient
from trimode.server.ports import free_port

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE = 10.0


class Backend:
    """Answers each request with the parts of `answer`, a moment apart; None closes the connection."""

    def __init__(self, *answer: bytes | None) -> None:
        self.requests: list[bytes] = []
        self.open = 0
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for part in self._answer:
                    if part is None:
                        break
                    writer.write(part)
                    await asyncio.sleep(0.01)
                if None in self._answer:
                    break
        self.open -= 1

    async def closed(self) -> None:
        """Wait until no connection is open."""
        async with asyncio.timeout(PATIENCE):
            while self.open:
                await asyncio.sleep(0.01)


def asked(backend: Backend, ask: Callable[[BackendClient], Awaitable[None]]) -> None:
    """Let `ask` use a client of the backend."""

    async def run() -> None:
        port = free_port(())
        async with await asyncio.start_server(backend, "127.0.0.1", port):
            async with contextlib.aclosing(BackendClient(port)) as client:
                await ask(client)
            await backend.closed()

    asyncio.run(run())


async def read(client: BackendClient, silence: float = PATIENCE) -> bytes:
    async with client.request("POST", "/", silence=silence) as answer:
        return await answer.read()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_nothing_is_added_to_a_request_and_its_path_is_left_as_it_is() -> None:
    async def ask(client: BackendClient) -> None:
        async with client.request("POST", "/a/../%41", b"12", {"Content-Type": "x"}, silence=PATIENCE) as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            assert await answer.read() == b"{}"

    backend = Backend(SHORT)
    asked(backend, ask)
    (request,) = backend.requests
    head, _, body = request.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert (head.split(b"\r\n")[0], body) == (b"POST /a/../%41 HTTP/1.1", b"12")
    assert names == {b"Host", b"Content-Length", b"Content-Type"}


def test_chunks_are_passed_on_whole_and_together_where_they_came_so() -> None:
    async def ask(client: BackendClient) -> None:
        async with client.request("GET", "/", silence=PATIENCE) as answer:
            assert [await answer.next() for _ in range(3)] == [b"one", b"twothree", b""]
            assert answer.complete

    two = chunk(b"two")
    asked(Backend(CHUNKED + chunk(b"one") + two[:4], two[4:6], two[6:] + chunk(b"three"), b"0\r\n\r\n"), ask)


@pytest.mark.parametrize("headers", [b"Location: /b\r\n", b"Content-Encoding: gzip\r\n", b"Set-Cookie: a=b\r\n"])
def test_an_answer_is_passed_on_as_it_is(headers: bytes) -> None:
    async def ask(client: BackendClient) -> None:
        for _ in range(2):
            async with client.request("GET", "/", silence=PATIENCE) as answer:
                assert (answer.status, await answer.read()) == (302, b"{}")

    backend = Backend(b"HTTP/1.1 302 Found\r\n" + headers + b"Content-Length: 2\r\n\r\n{}")
    asked(backend, ask)
    assert len(backend.requests) == 2
    assert not any(b"Cookie" in request for request in backend.requests)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"junk\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        CHUNKED + chunk(b"one"),
        CHUNKED + b"x\r\n",
    ],
    ids=["nothing", "no HTTP", "cut", "cut chunks", "broken chunks"],
)
def test_an_answer_that_ends_early_is_lost(answer: bytes) -> None:
    async def ask(client: BackendClient) -> None:
        with pytest.raises(LostError):
            await read(client)

    asked(Backend(answer, None), ask)


@pytest.mark.parametrize("answer", [b"", CHUNKED, CHUNKED + chunk(b"one")], ids=["nothing", "head", "chunk"])
def test_silence_ends_an_answer(answer: bytes) -> None:
    async def ask(client: BackendClient) -> None:
        with pytest.raises(TimeoutError):
            await read(client, silence=0.1)

    asked(Backend(answer), ask)


def test_want_of_files_says_nothing_about_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_files(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def ask(client: BackendClient) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", no_files)
            with pytest.raises(ExhaustedError, match="the server cannot ask its backend: Too many open files"):
                await read(client)
        assert await read(client) == b"{}"

    asked(Backend(SHORT), ask)


def test_nobody_listens() -> None:
    async def ask(port: int) -> None:
        async with contextlib.aclosing(BackendClient(port)) as client:
            with pytest.raises(ConnectionRefusedError):
                await read(client)

    asyncio.run(ask(free_port(())))


def test_a_server_at_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    async def run() -> None:
        backend, socket = Backend(SHORT), tmp_path / "http"
        async with contextlib.aclosing(BackendClient(1, socket)) as client:
            with pytest.raises(ConnectionRefusedError):  # the socket is not made yet
                await read(client)
            async with await asyncio.start_unix_server(backend, str(socket)):
                assert await read(client) == b"{}"
                await client.aclose()
                await backend.closed()
        async with contextlib.aclosing(BackendClient(1, socket)) as client:
            with pytest.raises(ConnectionRefusedError):  # the socket's server has ended
                await read(client)

    asyncio.run(run())


def test_an_answer_that_is_left_is_not_complete_and_its_connection_ends() -> None:
    async def ask(client: BackendClient) -> None:
        async with client.request("GET", "/", silence=PATIENCE) as answer:
            assert await answer.next() == b"one"
        assert not answer.complete
        await backend.closed()

    backend = Backend(CHUNKED + chunk(b"one"))
    asked(backend, ask)


def test_a_connection_is_used_again() -> None:
    async def ask(client: BackendClient) -> None:
        for _ in range(3):
            assert await read(client) == b"{}"
        assert backend.open == 1

    backend = Backend(SHORT)
    asked(backend, ask)


def test_a_running_answer_outlives_the_close_and_takes_the_connections_with_it() -> None:
    async def ask(client: BackendClient) -> None:
        async with (
            client.request("GET", "/", silence=PATIENCE) as one,
            client.request("GET", "/", silence=PATIENCE) as two,
        ):
            await client.aclose()
            assert [await one.read(), await two.read()] == [b"onetwo", b"onetwo"]
        await backend.closed()
        assert await read(client) == b"onetwo"  # a cancellation may come so late
        await backend.closed()

    backend = Backend(CHUNKED, chunk(b"one"), chunk(b"two"), b"0\r\n\r\n")
    asked(backend, ask)
