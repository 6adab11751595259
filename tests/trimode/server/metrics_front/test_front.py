"""The port of metrics before a Triton that answers, is away, cuts off or says nothing: a small server of ours."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from trimode.server.access.refusals import Refusals
from trimode.server.backend_client import BackendClient
from trimode.server.http_front.listener import listen
from trimode.server.metrics_front import source
from trimode.server.metrics_front.front import MetricsFront

from tests.server.server import free_ports
from tests.support.toy import manifest

TEXT = b"trimode_requests_running 0\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0\r\nContent-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT)
CUT = WHOLE[:-3]
METHODS = "GET, HEAD, OPTIONS"


class State:
    alive = True
    stopping = False


def source_of(client: BackendClient) -> source.MetricsSource:
    return source.MetricsSource([source.Scraped(client, State(), source.Model("nano", manifest()))], Refusals())


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()


def behind(answer: bytes | None, asking: Callable[[int], Any]) -> tuple[Any, int]:
    """What `asking` returns for the front's port, and how often it asked a Triton that sends `answer`, if not None."""
    asked = 0

    async def triton(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with closing(writer):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /metrics HTTP/1.1\r\n")
            asked += 1
            writer.write(answer or b"")
            if not answer:
                await reader.read()

    async def run() -> Any:
        inner, outer = free_ports(2)
        server = await asyncio.start_server(triton, "127.0.0.1", inner)
        if answer is None:
            server.close()
        client = BackendClient(inner)
        async with server, listen(MetricsFront(source_of(client)).handle, "127.0.0.1", outer):
            found = await asyncio.to_thread(asking, outer)
            await client.aclose()
        await asyncio.sleep(0.01)  # for the last sockets to be closed
        return found

    return asyncio.run(run()), asked


@pytest.mark.parametrize("path", ["/metrics", "/metrics?name[]=up", "http://box:8002/metrics", "/%6detrics"])
def test_the_metrics_are_passed_on(path: str) -> None:
    (status, headers, text), asked = behind(WHOLE, lambda port: ask(port, "GET", path))
    assert (status, asked) == (200, 1)
    assert text.startswith(TEXT) and headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_head_is_get_without_a_body() -> None:
    (status, headers, text), _ = behind(WHOLE, lambda port: ask(port, "HEAD", "/metrics"))
    assert (status, text) == (200, b"") and int(headers["Content-Length"]) > len(TEXT)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/metrics", 405, "not_allowed: POST /metrics; this port has GET /metrics"),
        ("PUT", "/metrics", 405, "not_allowed: PUT /metrics; this port has GET /metrics"),
        ("DELETE", "/metrics", 405, "not_allowed: DELETE /metrics; this port has GET /metrics"),
        ("GET", "/", 404, "not_found: / is not served here; this port has GET /metrics alone"),
        ("GET", "/metrics/", 404, "not_found: /metrics/ is not served here; this port has GET /metrics alone"),
        ("POST", "/v2/logging", 404, "not_found: /v2/logging is not served here; this port has GET /metrics alone"),
    ],
)
def test_everything_else_is_refused_before_triton_sees_it(method: str, path: str, status: int, text: str) -> None:
    (found, headers, body), asked = behind(WHOLE, lambda port: ask(port, method, path, b"x" * 300_000))
    assert (found, json.loads(body), asked) == (status, {"error": text}, 0)
    assert headers.get("Allow") == (METHODS if status == 405 else None)


@pytest.mark.parametrize("path", ["/metrics", "*"])
def test_options_says_what_is_served(path: str) -> None:
    (status, headers, _), asked = behind(WHOLE, lambda port: ask(port, "OPTIONS", path))
    assert (status, headers["Allow"], asked) == (204, METHODS, 0)


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (None, 503, "unavailable: the server is starting, try again"),
        (CUT, 500, "engine_failed: the backend ended before the answer was complete"),
        (b"", 504, "deadline_exceeded: the backend was silent for too long"),
    ],
    ids=["away", "cut", "silent"],
)
def test_metrics_that_cannot_be_had_are_an_error_with_a_type(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, status: int, text: str
) -> None:
    monkeypatch.setattr(source, "READ_SECONDS", 0.3)
    (found, headers, body), _ = behind(answer, lambda port: ask(port, "GET", "/metrics"))
    assert found == status
    assert json.loads(body)["error"].startswith(text)
    assert ("Retry-After" in headers) == (status == 503)


def test_a_defect_of_ours_is_an_error_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("/a/path")

    monkeypatch.setattr(source.MetricsSource, "read", fail)
    (status, _, body), _ = behind(WHOLE, lambda port: ask(port, "GET", "/metrics"))
    assert status == 500
    assert json.loads(body)["error"] == "internal: the server met an error that it did not foresee; its log says which"
    assert [record.getMessage() for record in caplog.records] == ["the metrics could not be read"]
