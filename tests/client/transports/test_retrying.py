"""When a request is sent again and after how long."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from trimode_client import (
    AsyncClient,
    CancelledError,
    Client,
    ClosedError,
    Completion,
    EngineError,
    IncompleteError,
    InvalidRequestError,
    OverloadedError,
    StalledError,
    TrimodeClientError,
    UnavailableError,
)
from trimode_client.errors import AddressError, TlsError
from trimode_client.transports import retrying
from trimode_client.transports.retrying import wait_before

from tests.client.transports.raw_server import event, events, raw_server, single
from tests.support.fake_server import BREAK, FIRST, LAST, SERVERS, STALL, Script

Asker = Callable[..., Completion]
FULL = OverloadedError("overloaded", "full")


class Turns(Script):
    """Plays other steps for each request, and the last ones for all that follow."""

    def __init__(self, *turns: tuple[object, ...]) -> None:
        self.turns = turns
        super().__init__()

    @property
    def steps(self) -> tuple[object, ...]:
        return self.turns[min(len(self.requests), len(self.turns)) - 1]

    @steps.setter
    def steps(self, _: tuple[object, ...]) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 0.01)


# The rule


def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 0.5)
    assert [wait_before(n, FULL, None, 0.0) for n in range(7)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert [wait_before(n, FULL, None, 1.0) for n in range(3)] == [0.25, 0.5, 1]


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    asked = OverloadedError("overloaded", "full")
    asked.retry_after = 3.0
    assert wait_before(0, asked, None, 0.5) == 3.0
    assert wait_before(0, asked, 2.9, 0.5) is None
    asked.retry_after = 3600.0
    assert wait_before(0, asked, None, 0.5) is None


def test_no_wait_goes_beyond_the_time_limit() -> None:
    assert wait_before(0, FULL, 0.011, 0.0) == 0.01
    assert wait_before(0, FULL, 0.01, 0.0) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (FULL, True),
        (EngineError("engine_failed", "lost"), True),
        (UnavailableError("nobody answers"), True),
        (IncompleteError("nothing came", begun=False), True),
        (IncompleteError("half of it came"), False),
        (StalledError("silent"), False),
        (AddressError("no address"), False),
        (TlsError("not trusted"), False),
        (CancelledError("cancelled", "gone"), False),
        (InvalidRequestError("invalid_value", "top_k"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_what_may_help_is_tried_again(error: TrimodeClientError, again: bool) -> None:
    assert (wait_before(0, error, None, 0.0) is not None) is again


# Requests


def ask_blocking(url: str, protocol: Any, *, stream: bool = True, **options: Any) -> Completion:
    with Client(url, protocol, **{"timeout": 10.0, "inactivity": 5.0} | options) as client:
        return client.stream("hi").finish() if stream else client.generate("hi")


def ask_async(url: str, protocol: Any, *, stream: bool = True, **options: Any) -> Completion:
    async def ask() -> Completion:
        async with AsyncClient(url, protocol, **{"timeout": 10.0, "inactivity": 5.0} | options) as client:
            return await (client.stream("hi").finish() if stream else client.generate("hi"))

    return asyncio.run(ask())


@pytest.fixture(params=[ask_blocking, ask_async], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


protocols = pytest.mark.parametrize("protocol", ["grpc", "http"])
LOST = "engine_failed: the backend ended before the answer was complete"


@protocols
@pytest.mark.parametrize("first", [("overloaded: full",), (LOST,), ("unavailable: starting",)])
def test_a_request_that_failed_before_its_first_piece_is_sent_again(
    ask: Asker, protocol: str, first: tuple[object, ...]
) -> None:
    script = Turns(first, first, (FIRST, LAST))
    with SERVERS[protocol](script) as url:
        assert ask(url, protocol).text == "Hello"
    assert len(script.requests) == 3


def test_a_stream_that_ended_before_its_first_response_is_sent_again(ask: Asker) -> None:
    script = Turns((BREAK,), (FIRST, LAST))
    with SERVERS["grpc"](script) as url:
        assert ask(url, "grpc").text == "Hello"
    assert len(script.requests) == 2


@protocols
def test_the_error_is_raised_once_the_tries_are_spent(ask: Asker, protocol: str) -> None:
    script = Turns((LOST,))
    with SERVERS[protocol](script) as url, pytest.raises(EngineError):
        ask(url, protocol)
    assert len(script.requests) == 3


@protocols
def test_without_retries_a_request_is_sent_once(ask: Asker, protocol: str) -> None:
    script = Turns((LOST,), (FIRST, LAST))
    with SERVERS[protocol](script) as url, pytest.raises(EngineError):
        ask(url, protocol, retries=0)
    assert len(script.requests) == 1


@protocols
@pytest.mark.parametrize("then", [LOST, BREAK, STALL], ids=["error", "break", "stall"])
def test_an_answer_that_began_is_never_asked_for_again(ask: Asker, protocol: str, then: object) -> None:
    script = Turns((FIRST, then), (FIRST, LAST))
    with SERVERS[protocol](script) as url, pytest.raises(TrimodeClientError):
        ask(url, protocol, inactivity=1.5)
    assert len(script.requests) == 1


@protocols
def test_what_the_caller_did_wrong_is_not_sent_again(ask: Asker, protocol: str) -> None:
    script = Turns(("invalid_value: top_k must be at least 0",), (FIRST, LAST))
    with SERVERS[protocol](script) as url, pytest.raises(InvalidRequestError):
        ask(url, protocol)
    assert len(script.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_full_server_is_asked_again_after_the_time_that_it_names(
    ask: Asker, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    def noted(repetition: int, error: TrimodeClientError, left: float | None, draw: float) -> float | None:
        asked.append(error.retry_after)
        return 0.0

    monkeypatch.setattr(retrying, "wait_before", noted)
    refusal = b'{"error": "overloaded: the queue is full"}'
    head = b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n%s" % (len(refusal), refusal)

    def answer(connection: socket.socket) -> None:
        connection.sendall(head) if len(server.requests) == 1 else answered(connection)

    answered = events(event(LAST)) if stream else single(LAST)
    with raw_server(answer) as server:
        assert ask(server.url, "http", stream=stream).text == "lo"
    assert asked == [7.0]


def test_a_connection_that_closed_unanswered_is_opened_again(ask: Asker) -> None:
    def answer(connection: socket.socket) -> None:
        if len(server.requests) == 1:
            connection.shutdown(socket.SHUT_RDWR)
        else:
            single(LAST)(connection)

    with raw_server(answer) as server:
        assert ask(server.url, "http", stream=False).text == "lo"
    assert len(server.requests) == 2


def test_half_an_answer_is_not_asked_for_again(ask: Asker) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"text_')
        connection.shutdown(socket.SHUT_RDWR)

    with raw_server(answer) as server, pytest.raises(IncompleteError, match="broke before the last response"):
        ask(server.url, "http", stream=False)
    assert len(server.requests) == 1


def test_the_server_has_the_time_that_is_left(ask: Asker) -> None:
    script = Turns((LOST,))
    with SERVERS["http"](script) as url, pytest.raises(EngineError):
        ask(url, "http", timeout=60.0, retries=3)
    limits = [fields["timeout_ms"] for fields in script.requests]
    assert limits[0] == 60_000
    assert limits == sorted(set(limits), reverse=True)
    assert len(limits) == 4


def test_a_server_that_is_not_there_yet_is_found(ask: Asker) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop, up = threading.Event(), threading.Event()

    def serve() -> None:
        with socket.create_server(("127.0.0.1", port)) as listening:
            up.set()
            listening.settimeout(10)
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                single(LAST)(connection)
                stop.wait(10)

    thread = threading.Timer(0.05, serve)
    thread.start()
    try:
        assert ask(f"127.0.0.1:{port}", "http", stream=False, retries=12).text == "lo"
    finally:
        stop.set()
        thread.join()
    assert up.is_set()


def test_closing_the_client_ends_a_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "wait_before", lambda *_: 60.0)
    with SERVERS["http"](Turns((LOST,))) as url, Client(url, "http") as client:
        closing = threading.Timer(0.2, client.close)
        closing.start()
        with pytest.raises(ClosedError):
            client.stream("hi").finish()
        closing.join()


def test_leaving_a_stream_that_is_tried_again_cancels_it() -> None:
    script = Turns((LOST,), (FIRST, STALL))
    with SERVERS["grpc"](script) as url, Client(url) as client:
        with client.stream("hi") as stream:
            assert next(stream).text == "Hel"
        assert script.left.wait(30)
