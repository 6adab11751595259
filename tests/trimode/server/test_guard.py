"""The guard before a server that stalls: a pause ends with an error, and what waits is cancelled.

The server here is a small one of ours on a real socket; Triton cannot be made to pause on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from trimode.api.tensors import CANCEL, MODEL_NAME, TAG
from trimode.server import guard
from trimode.server.access.entry import EVERYBODY, Entry
from trimode.server.access.turnstile import Visit
from trimode.server.backend_client import BackendClient
from trimode.server.body_check import check_body
from trimode.server.guard import LARGE_BODY, Guard
from trimode.server.http_front.listener import listen
from trimode.server.models.model_backend import ModelBackend
from trimode.server.models.model_backends import ModelBackends
from trimode.server.serving import Limits
from trimode.tracing.spans import Spans

from tests.server.server import free_ports
from tests.server.wire import PATH, events, generate, send
from tests.support.collector import collecting

SILENCE = 0.2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"text_output": "a"}\n\n'
SILENT = "deadline_exceeded: the backend was silent for too long"
REQUEST = {"input_ids": [5]}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Living:
    alive = True
    stopping = False


class Starting:
    alive = False
    stopping = False


def guard_of(client: BackendClient, state: Any, limits: Limits, entry: Entry = EVERYBODY) -> Guard:
    """A guard before one model."""
    return Guard(ModelBackends(ModelBackend(client, state, limits)), limits, entry)


class Stalling:
    """Answers a cancellation; of any other request it sends `start` and then nothing."""

    def __init__(self, start: bytes) -> None:
        self.requests: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self._start = start

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.requests.append(json.loads(await reader.readexactly(length)))
            if CANCEL in self.requests[-1]:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
            else:
                writer.write(self._start)
                await reader.read()  # until the guard leaves


def behind_the_guard(backend: Stalling, ask: Callable[[int], Any]) -> Any:
    """Return what `ask` returns for the guard's port, once the backend has got the request and its cancellation."""

    async def run() -> Any:
        inner, outer = free_ports(2)
        async with await asyncio.start_server(backend, "127.0.0.1", inner):
            client = BackendClient(inner)
            guard = guard_of(client, Living(), Limits(silence_seconds=SILENCE))
            async with listen(guard.handle, "127.0.0.1", outer):
                answer = await asyncio.to_thread(ask, outer)
                async with asyncio.timeout(60):
                    while len(backend.requests) < 2:
                        await asyncio.sleep(0.01)
            await client.aclose()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
            await asyncio.sleep(0.01)  # for the last sockets to be closed
        return answer

    return asyncio.run(run())


def assert_cancelled(backend: Stalling) -> None:
    request, cancellation = backend.requests
    assert cancellation == {CANCEL: request[TAG]}


def test_a_stream_that_pauses_too_long_ends_with_an_error() -> None:
    backend = Stalling(HEAD + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    assert behind_the_guard(backend, lambda port: list(events(port, REQUEST))) == [
        {"text_output": "a"},
        {"error": SILENT},
    ]
    assert_cancelled(backend)


def test_a_request_takes_its_trace_along() -> None:
    backend = Stalling(b"")
    body = json.dumps(REQUEST).encode()
    behind_the_guard(backend, lambda port: send(port, "POST", f"{PATH}/generate", body, traceparent=PARENT))
    assert f"traceparent: {PARENT}\r\n" in backend.heads[0]


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=["unsent", "cut"])
def test_an_answer_that_does_not_come_is_an_error(start: bytes) -> None:
    backend = Stalling(start)
    assert behind_the_guard(backend, lambda port: generate(port, REQUEST)) == (504, {"error": SILENT})
    assert_cancelled(backend)


@pytest.mark.parametrize(("tokens", "aside"), [(10, False), (LARGE_BODY // 3 + 10, True)])
def test_only_a_large_body_is_checked_aside(monkeypatch: pytest.MonkeyPatch, tokens: int, aside: bool) -> None:
    def check(body: bytes, tag: str, visit: Visit, *, streaming: bool) -> bytes:
        checked_aside.append(threading.current_thread() is not threading.main_thread())
        return check_body(body, tag, visit, streaming=streaming)

    checked_aside: list[bool] = []
    monkeypatch.setattr(guard, "check_body", check)
    behind_the_guard(Stalling(b""), lambda port: generate(port, {"input_ids": [5] * tokens}))
    assert checked_aside == [aside]


def test_a_guard_without_files_is_not_available(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_files(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def ask(port: int) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", "/v2/health/live")
            connection.getresponse().read()  # the connection was accepted, which takes a file too
            monkeypatch.setattr(socket, "socket", no_files)
            connection.request("GET", "/v2")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    async def run() -> Any:
        (port,) = free_ports(1)
        client = BackendClient(1)
        guard = guard_of(client, Living(), Limits())
        async with contextlib.aclosing(client), listen(guard.handle, "127.0.0.1", port):
            return await asyncio.to_thread(ask, port)

    text = "the server cannot ask its backend: Too many open files"
    assert asyncio.run(run()) == (503, {"error": f"unavailable: {text}"})
    assert [record.getMessage() for record in caplog.records] == [text]


@pytest.mark.parametrize(("state", "said"), [(Starting, "is starting"), (Living, "is starting")])
def test_what_was_not_sent_is_not_cancelled(state: type[Starting] | type[Living], said: str) -> None:
    """Neither where the guard refuses by itself, nor where nobody listens behind it."""

    async def run() -> tuple[int, Any]:
        inner, outer = free_ports(2)
        client = Counting(inner)
        guard = guard_of(client, state(), Limits())
        async with contextlib.aclosing(client), listen(guard.handle, "127.0.0.1", outer):
            status, answer = await asyncio.to_thread(generate, outer, REQUEST)
            assert said in answer["error"]
            await asyncio.sleep(0.1)
        return status, client.cancellations

    assert asyncio.run(run()) == (503, 0)


class Counting(BackendClient):
    """Counts what it is to send, and the cancellations among that."""

    cancellations = sent = 0

    def request(self, method: str, path: str, body: bytes = b"", *args: Any, **named: Any) -> Any:
        self.sent += 1
        self.cancellations += CANCEL in json.loads(body)
        return super().request(method, path, body, *args, **named)


def test_an_error_that_nobody_foresaw_is_in_the_log_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise FileNotFoundError("/home/operator/secret")

    async def run() -> Any:
        inner, outer = free_ports(2)
        client = BackendClient(inner)
        served = guard_of(client, Living(), Limits())
        async with contextlib.aclosing(client), listen(served.handle, "127.0.0.1", outer):
            return await asyncio.to_thread(generate, outer, REQUEST)

    monkeypatch.setattr(guard, "check_body", fail)
    error = "internal: the server met an error that it did not foresee; its log says which"
    assert asyncio.run(run()) == (500, {"error": error})
    assert "/home/operator/secret" in caplog.text


@pytest.fixture(scope="module")
def refusing() -> Iterator[int]:
    """The port of a guard without a backend: whatever it answers comes from itself."""

    async def run() -> None:
        client = BackendClient(1)
        served = guard_of(client, Living(), Limits(64))
        async with contextlib.aclosing(client), listen(served.handle, "127.0.0.1", port):
            started.set()
            await asyncio.to_thread(over.wait)

    (port,) = free_ports(1)
    started, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(60)
    yield port
    over.set()
    thread.join(60)


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v2/health/live", 200, ""),
        ("HEAD", "/v2/health/live", 200, ""),
        ("OPTIONS", "*", 204, ""),
        ("GET", "/", 404, "not_found: "),
        ("GET", "/v2/repository/index", 404, "not_found: "),
        ("POST", "/v2/systemsharedmemory/region/a/register", 404, "not_found: "),
        ("GET", f"{PATH}/generate", 405, "not_allowed: GET "),
        ("POST", "/v2/health/live", 405, "not_allowed: POST "),
        ("POST", f"{PATH}/infer", 400, "not_applicable: infer over HTTP answers once"),
        ("POST", "/v2/models/other/generate", 404, "not_found: there is no model "),
        ("POST", f"{PATH}/versions/7/generate", 404, f"not_found: {MODEL_NAME} has no version "),
        ("GET", "/v2", 503, "unavailable: "),
        ("GET", f"{PATH}/%63onfig", 503, "unavailable: "),
        ("GET", f"http://elsewhere{PATH}/config?a=b", 503, "unavailable: "),
    ],
)
def test_what_is_served_and_what_is_refused(refusing: int, method: str, path: str, status: int, error: str) -> None:
    found, body = send(refusing, method, path)
    assert found == status
    assert json.loads(body)["error"].startswith(error) if error else body == b""


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"[]", 400, "wrong_type: the body must be a JSON object"),
        (b'{"max_token": 1}', 400, "unknown_field: "),
        (b'{"text_input": "' + 64 * b"a" + b'"}', 413, "too_large: "),
        (b'{"input_ids": [5]}', 503, "unavailable: the server is starting, try again"),
    ],
)
def test_a_body_is_checked_before_the_backend_is_asked(refusing: int, body: bytes, status: int, error: str) -> None:
    found, answer = generate(refusing, body)
    assert (found, answer["error"][: len(error)]) == (status, error)


def test_the_span_of_a_request_that_triton_refuses_has_the_type_of_its_error() -> None:
    body = b'{"error": "overloaded: the queue is full"}'
    refusal = b"HTTP/1.1 503 Unavailable\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with collecting() as collector:
        spans = Spans(collector.url, "a test")
        backend = Stalling(refusal)

        async def run() -> Any:
            inner, outer = free_ports(2)
            async with await asyncio.start_server(backend, "127.0.0.1", inner):
                client = BackendClient(inner)
                served = guard_of(client, Living(), Limits(), Entry(spans=spans))
                async with contextlib.aclosing(client), listen(served.handle, "127.0.0.1", outer):
                    return await asyncio.to_thread(
                        send, outer, "POST", f"{PATH}/generate", b'{"input_ids": [5]}', traceparent=PARENT
                    )

        assert asyncio.run(run())[0] == 503
        spans.close()
        (span,) = collector.spans(PARENT[3:35])
    assert span.failed and (span.says["http.response.status_code"], span.says["error.type"]) == (503, "overloaded")
