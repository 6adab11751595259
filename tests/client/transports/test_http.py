"""What HTTP alone has: connections and their pool, chunks and lines cut anywhere, proxies, addresses."""

from __future__ import annotations

import asyncio
import json
import re
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from trimode_client import AsyncClient, Client, Completion, DeadlineError, IncompleteError, UnavailableError
from trimode_client.errors import AddressError

from tests.client.transports.raw_server import (
    CHUNKED,
    RawServer,
    chunk,
    event,
    events,
    hanging,
    raw_server,
    single,
)

LAST = {"text_output": "lo", "finish_reason": "stop"}
Asker = Callable[..., list[Completion]]
LIMITS = {"timeout": 5.0, "inactivity": 5.0, "retries": 0}


def ask_blocking(
    url: str, *, stream: bool = True, times: int = 1, prompt: str = "hi", **limits: Any
) -> list[Completion]:
    with Client(url, "http", **LIMITS | limits) as client:
        return [client.stream(prompt).finish() if stream else client.generate(prompt) for _ in range(times)]


def ask_async(url: str, *, stream: bool = True, times: int = 1, prompt: str = "hi", **limits: Any) -> list[Completion]:
    async def ask() -> list[Completion]:
        async with AsyncClient(url, "http", **LIMITS | limits) as client:
            return [await (client.stream(prompt).finish() if stream else client.generate(prompt)) for _ in range(times)]

    return asyncio.run(ask())


@pytest.fixture(params=[ask_blocking, ask_async], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


@pytest.mark.parametrize("stream", [True, False])
def test_requests_one_after_another_share_a_connection(ask: Asker, stream: bool) -> None:
    with raw_server(events(event(LAST)) if stream else single(LAST)) as server:
        assert [one.text for one in ask(server.url, stream=stream, times=3)] == ["lo"] * 3
        assert (len(server.requests), server.connections) == (3, 1)


def test_threads_share_a_client() -> None:
    with raw_server(events(event(LAST))) as server, Client(server.url, "http") as client, ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: client.stream("hi").finish().text, range(40)))
    assert (texts, len(server.requests)) == (["lo"] * 40, 40)
    assert server.connections <= 8


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_asked(ask: Asker, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with raw_server(events(event(LAST))) as server:
        assert ask(server.url)[0].text == "lo"


def test_a_character_and_a_line_cut_between_chunks_are_whole(ask: Asker) -> None:
    text = "aé\u2028\u0085𝄞"
    raw = b": comment\r\n\r\n" + event(LAST | {"text_output": text}).replace(b"\n", b"\r\n")
    with raw_server(events(*(raw[at : at + 1] for at in range(len(raw))))) as server:
        assert ask(server.url)[0].text == text


def test_an_event_without_its_empty_line_counts_when_the_stream_ends(ask: Asker) -> None:
    with raw_server(events(event(LAST).rstrip())) as server:
        assert ask(server.url)[0].text == "lo"


def test_an_event_that_breaks_off_is_incomplete(ask: Asker) -> None:
    with raw_server(events(event(LAST)[:-8])) as server, pytest.raises(IncompleteError, match="not JSON"):
        ask(server.url)


def test_a_connection_that_breaks_off_is_incomplete(ask: Asker) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(CHUNKED + chunk(event({"text_output": "Hel"})) + b"20\r\ndata: ")
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(answer) as server, pytest.raises(IncompleteError, match="broke before the last response"):
        ask(server.url)


def test_a_connection_that_closes_without_an_answer_is_incomplete(ask: Asker) -> None:
    with (
        raw_server(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as server,
        pytest.raises(IncompleteError, match="broke before the last response"),
    ):
        ask(server.url, stream=False)


@pytest.mark.parametrize("stream", [True, False])
def test_large_bodies_go_and_come_whole(ask: Asker, stream: bool) -> None:
    large = "é" * 1_000_000
    outputs = LAST | {"text_output": large}
    with raw_server(events(event(outputs)) if stream else single(outputs)) as server:
        assert ask(server.url, stream=stream, prompt=large)[0].text == large
        assert json.loads(json.loads(server.requests[0][1])["messages"])[0]["content"] == large


def read_blocking(url: str, seen: list[str], **limits: Any) -> None:
    with Client(url, "http", **limits) as client, client.stream("hi") as stream:
        seen.extend(piece.text for piece in stream)


def read_async(url: str, seen: list[str], **limits: Any) -> None:
    async def read() -> None:
        async with AsyncClient(url, "http", **limits) as client, client.stream("hi") as stream:
            async for piece in stream:
                seen.append(piece.text)

    asyncio.run(read())


@pytest.mark.parametrize("read", [read_blocking, read_async], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("chunked", [True, False])
def test_the_overall_limit_ends_a_read_that_began_shortly_before(read: Callable[..., None], chunked: bool) -> None:
    """The last event comes after the limit, but within what a limit on each read alone would wait for."""
    head, cut = (CHUNKED, chunk) if chunked else (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes)

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for wait, outputs in ((0.5, {"text_output": "Hel"}), (0.45, LAST)):
            if select.select([connection], [], [], wait)[0]:
                return  # the client has left
            connection.sendall(cut(event(outputs)))
        connection.shutdown(socket.SHUT_RDWR)

    seen: list[str] = []
    with raw_server(answer) as server, pytest.raises(DeadlineError):
        read(server.url, seen, timeout=0.6, inactivity=0.59)
    assert "lo" not in seen


@pytest.mark.parametrize("left", ["closed", "dropped"])
def test_leaving_a_stream_closes_its_connection_and_the_next_request_opens_one(left: str) -> None:
    with raw_server(hanging(event({"text_output": "Hel"}))) as server, Client(server.url, "http") as client:
        stream = client.stream("hi")
        next(stream)
        if left == "closed":
            stream.close()
        del stream
        assert server.left.wait(30)
        server.answer = events(event(LAST))
        assert client.stream("hi").finish().text == "lo"


def test_cancelling_a_task_closes_its_connection_and_the_next_request_opens_one() -> None:
    async def ask(server: RawServer) -> str:
        async with AsyncClient(server.url, "http") as client:
            arrived = asyncio.Event()

            async def read() -> None:
                async with client.stream("hi") as stream:
                    async for _ in stream:
                        arrived.set()

            task = asyncio.create_task(read())
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.left.wait, 5)
            server.answer = events(event(LAST))
            return (await client.stream("hi").finish()).text

    with raw_server(hanging(event({"text_output": "Hel"}))) as server:
        assert asyncio.run(ask(server)) == "lo"


@pytest.mark.parametrize("url", ["127.0.0.1:80x", "ftp://127.0.0.1:80", "http://"])
def test_an_address_that_is_none_is_unavailable(ask: Asker, url: str) -> None:
    with pytest.raises(UnavailableError):
        ask(url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_is_not_followed_and_named(ask: Asker, status: int, stream: bool) -> None:
    with raw_server(single(LAST)) as other:
        target = f"http://{other.url}/x"
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(lambda connection: connection.sendall(moved)) as old:
            text = f"{old.url} redirects to {target}, which is not followed; ask that address if you trust it"
            with pytest.raises(AddressError, match=re.escape(text)):
                ask(old.url, stream=stream)
        assert other.requests == []


def test_health_names_a_redirect() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"

    async def reason(url: str) -> str:
        async with AsyncClient(url, "http") as client:
            return (await client.health(5)).reason

    with raw_server(lambda connection: connection.sendall(moved)) as server:
        with Client(server.url, "http") as client:
            assert "redirects to /x, which is not followed" in client.health(5).reason
        assert "redirects to /x, which is not followed" in asyncio.run(reason(server.url))


def test_a_single_answer_that_trickles_ends_with_the_limit(ask: Asker) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.05)

    with raw_server(trickle) as server, pytest.raises(DeadlineError):
        ask(server.url, stream=False, timeout=0.2)


def test_health_of_a_server_that_does_not_answer_says_how_long_it_was_waited_for() -> None:
    with raw_server(lambda connection: connection.recv(1)) as server:
        with Client(server.url, "http") as client:
            assert "did not answer within 0.1 s" in client.health(0.1).reason

        async def reason() -> str:
            async with AsyncClient(server.url, "http") as client:
                return (await client.health(0.1)).reason

        assert "did not answer within 0.1 s" in asyncio.run(reason())
