"""Servers that answer anything but an answer: whatever comes, the client raises an error of its tree."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from trimode_client import (
    AddressError,
    AsyncClient,
    Client,
    DeadlineError,
    Health,
    IncompleteError,
    ServerError,
    TrimodeClientError,
    UnavailableError,
)
from trimode_client.transports.http_common import parse

OK = b"HTTP/1.1 200 OK\r\n"
MOVED = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n"
LIMITS: dict[str, Any] = {"timeout": 5.0, "inactivity": 1.0, "retries": 0}
Asker = Callable[..., object]


@contextmanager
def saying(data: bytes) -> Iterator[str]:
    """Answer the first bytes of each connection with `data` and end it, whatever is spoken; give the address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # of the end of the block
            while True:
                connection, _ = listening.accept()
                connection.settimeout(10)
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.join()


def ask_blocking(url: str, protocol: Any, method: str, **limits: Any) -> object:
    with Client(url, protocol, **LIMITS | limits) as client:
        if method == "health":
            return client.health(0.5)
        return client.stream("hi").finish() if method == "stream" else client.generate("hi")


def ask_async(url: str, protocol: Any, method: str, **limits: Any) -> object:
    async def ask() -> object:
        async with AsyncClient(url, protocol, **LIMITS | limits) as client:
            if method == "health":
                return await client.health(0.5)
            return await (client.stream("hi").finish() if method == "stream" else client.generate("hi"))

    return asyncio.run(ask())


@pytest.fixture(params=[ask_blocking, ask_async], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


OVER_HTTP: dict[str, tuple[bytes, type[TrimodeClientError]]] = {
    "nothing": (b"", IncompleteError),
    "another protocol": (b"hello\r\n\r\n", AddressError),
    "an alert of TLS": (bytes.fromhex("15030100020246"), AddressError),
    "half a head": (OK, IncompleteError),
    "a head without end": (OK + b"X: " + b"a" * 200_000, IncompleteError),
    "a bad head": (OK + b"\xff\xff\r\n\r\n", IncompleteError),
    "two lengths": (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", IncompleteError),
    "a bad chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", IncompleteError),
    "half a body": (OK + b"Content-Length: 100\r\n\r\nabc", IncompleteError),
    "no gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", IncompleteError),
    "a page": (OK + b"Content-Length: 6\r\n\r\n<html>", IncompleteError),
    "a list": (OK + b"Content-Length: 10\r\n\r\ndata: []\n\n", IncompleteError),
    "no content": (b"HTTP/1.1 204 No\r\n\r\n", ServerError),
    "a move to nowhere": (MOVED + b"\r\n", ServerError),
    "a move to no address": (MOVED + b"Location: http://[::bad/\r\n\r\n", AddressError),
    "a move to no protocol": (MOVED + b"Location: ftp://x/\r\n\r\n", AddressError),
    "another protocol offered": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", IncompleteError),
}
OVER_GRPC: dict[str, tuple[bytes, type[TrimodeClientError]]] = {
    "nothing": (b"", UnavailableError),
    "HTTP/1": (OK + b"Content-Length: 0\r\n\r\n", AddressError),
    "an alert of TLS": (bytes.fromhex("15030100020246"), UnavailableError),
    "settings, then nothing": (bytes.fromhex("000000040000000000"), UnavailableError),
}


@pytest.mark.parametrize(("data", "kind"), OVER_HTTP.values(), ids=OVER_HTTP)
@pytest.mark.parametrize("method", ["generate", "stream"])
def test_what_is_no_answer_over_http(ask: Asker, method: str, data: bytes, kind: type[TrimodeClientError]) -> None:
    with saying(data) as url, pytest.raises(kind):
        ask(url, "http", method)


@pytest.mark.parametrize(("data", "kind"), OVER_GRPC.values(), ids=OVER_GRPC)
@pytest.mark.parametrize("method", ["generate", "stream"])
def test_what_is_no_answer_over_grpc(ask: Asker, method: str, data: bytes, kind: type[TrimodeClientError]) -> None:
    with saying(data) as url, pytest.raises(kind):
        ask(url, "grpc", method)


@pytest.mark.parametrize(("protocol", "cases"), [("http", OVER_HTTP), ("grpc", OVER_GRPC)])
def test_the_health_of_such_a_server_has_a_reason(
    ask: Asker, protocol: str, cases: dict[str, tuple[bytes, type[TrimodeClientError]]]
) -> None:
    for data, _ in cases.values():
        with saying(data) as url:
            state = ask(url, protocol, "health")
        assert isinstance(state, Health)
        assert state.reason or state.ok or not state.live, data


@contextmanager
def full() -> Iterator[str]:
    """The address of a host that takes no more connections, as one behind a firewall that drops them."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_connection_that_does_not_open_ends_with_the_time_limit(ask: Asker, protocol: str) -> None:
    with full() as url, pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        ask(url, protocol, "generate", timeout=0.5)


def test_a_connection_over_http_has_a_limit_of_its_own(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("http", "http_common"):
        monkeypatch.setattr(f"trimode_client.transports.{module}.CONNECT_SECONDS", 0.2)
    with full() as url, pytest.raises(UnavailableError, match=r"nobody answers .* no connection within 0\.2 s"):
        ask(url, "http", "stream")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_health_of_a_host_that_does_not_answer_says_how_long_it_was_waited_for(ask: Asker, protocol: str) -> None:
    with full() as url:
        state = ask(url, protocol, "health")
    assert isinstance(state, Health)
    assert not state.live
    assert "0.5 s" in state.reason


def test_json_too_deep_to_read_is_an_error_of_the_tree() -> None:
    with pytest.raises(IncompleteError, match="not JSON"):
        parse("[" * 200_000)
