"""The HTTP face against a real server: methods, paths, encodings, callers who leave, and want of files."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server, wait_until
from tests.server.wire import PATH, SECONDS, ask, generate, send

GENERATE = f"{PATH}/generate"
BODY = b'{"input_ids": [5], "max_tokens": 1}'
LONG: dict[str, Any] = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 1500, "end_id": -1}


def exchange(port: int, data: bytes, host: str = "127.0.0.1") -> bytes:
    """Send bytes, stop sending, and return all that comes back."""
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v2/health/ready", f"{PATH}/ready", "/v2", PATH, f"{PATH}/config"]
)
def test_head_is_get_without_a_body(server: Server, path: str) -> None:
    head, get = ask(server.http_port, "HEAD", path), ask(server.http_port, "GET", path)
    assert (head.status, head.text) == (200, b"")  # type: ignore[attr-defined]
    assert head.headers.get("Content-Length", "0") == get.headers["Content-Length"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", GENERATE, "OPTIONS, POST"),
        ("HEAD", GENERATE, "OPTIONS, POST"),
        ("DELETE", "/v2/health/live", "GET, HEAD, OPTIONS"),
        ("PUT", f"{PATH}/infer", "OPTIONS, POST"),
    ],
)
def test_another_method_is_answered_with_those_that_are_allowed(
    server: Server, method: str, path: str, allow: str
) -> None:
    answer = ask(server.http_port, method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize(
    ("path", "allow"), [(GENERATE, "OPTIONS, POST"), ("/v2", "GET, HEAD, OPTIONS"), ("*", "GET, HEAD, OPTIONS, POST")]
)
def test_options(server: Server, path: str, allow: str) -> None:
    answer = ask(server.http_port, "OPTIONS", path)
    assert (answer.status, answer.headers["Allow"]) == (204, allow)


@pytest.mark.parametrize(
    "path",
    [
        f"http://example.com:1{GENERATE}",
        f"{GENERATE}?stream=no",
        GENERATE.replace("_", "%5F").replace("m", "%6d"),
        f"{PATH}/versions/1/generate",
    ],
    ids=["absolute", "query", "percent", "version"],
)
def test_a_path_written_in_another_way(server: Server, path: str) -> None:
    assert send(server.http_port, "POST", path, BODY)[0] == 200


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{PATH}/versions/9/generate", 'nemotron_diffusion has no version "9", only 1'),
        (f"{PATH}/versions/x%0A/generate", 'nemotron_diffusion has no version "x\\n", only 1'),
        ("/v2/models/other/generate", 'there is no model "other"; this server has nemotron_diffusion'),
        ("/v2/models/a%1B%5B31m/generate", 'there is no model "a\\u001b[31m"; this server has nemotron_diffusion'),
        ("/v2/models/%2e%2e/generate", 'there is no model ".."; this server has nemotron_diffusion'),
        ("/v2/models/a%2Fb/generate", 'there is no model "a/b"; this server has nemotron_diffusion'),
    ],
)
def test_another_model_or_version_is_not_found(server: Server, path: str, text: str) -> None:
    status, body = send(server.http_port, "POST", path, BODY)
    assert (status, json.loads(body)["error"]) == (404, f"not_found: {text}")


@pytest.mark.parametrize("path", ["", "/config", "/stats", "/ready"])
def test_questions_about_another_model_or_version_are_not_found(server: Server, path: str) -> None:
    for asked in (f"/v2/models/other{path}", f"{PATH}/versions/9{path}"):
        status, body = send(server.http_port, "GET", asked)
        assert (status, json.loads(body)["error"].partition(":")[0]) == (404, "not_found")


def test_an_unknown_name_is_shown_with_the_codes_of_its_control_characters(server: Server) -> None:
    status, body = generate(server.http_port, {"a\x1b[31m": 1, "input_ids": [5]})
    assert (status, body["error"]) == (400, "unknown_field: a\\u001b[31m is not a field of this model, got 1")


def test_a_body_in_gzip(server: Server) -> None:
    assert send(server.http_port, "POST", GENERATE, gzip.compress(BODY), Content_Encoding="gzip")[0] == 200


@pytest.mark.parametrize(("coding", "status", "kind"), [("gzip", 400, "bad_json"), ("br", 415, "unsupported_encoding")])
def test_a_body_that_is_not_what_is_announced(server: Server, coding: str, status: int, kind: str) -> None:
    found, body = send(server.http_port, "POST", GENERATE, BODY, Content_Encoding=coding)
    assert (found, json.loads(body)["error"].partition(":")[0]) == (status, kind)


def test_a_caller_who_stops_sending_gets_the_answer(server: Server) -> None:
    body = json.dumps({**LONG, "max_tokens": 300}).encode()
    head = f"POST {GENERATE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    *interim, last = exchange(server.http_port, head + body).split(b"HTTP/1.1 ")[1:]
    assert {part.strip() for part in interim} <= {b"100 Continue"}
    assert last.startswith(b"200 ")
    assert b'"text_output"' in last


def test_callers_who_leave_are_no_lines_in_the_log(server: Server) -> None:
    server.settle()
    before = server.log.read_text()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    for count in range(1, 13):
        with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=SECONDS)) as connection:
            connection.request("POST", f"{PATH}/generate_stream", json.dumps({**LONG, "stream": True}))
            with connection.getresponse() as answer:
                assert answer.readline().startswith(b"data: ")
        server.wait_metric("trimode_requests_total", cancelled + count, outcome="cancelled")
    assert server.log.read_text() == before


@pytest.fixture
def alone(bundle: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that may have 256 files open, whatever it asks for."""
    made = Server(bundle, tmp_path / "log")
    resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    with made:
        yield made
        made.kill()


def connected(stack: ExitStack, port: int, count: int) -> list[socket.socket]:
    return [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS)) for _ in range(count)]


@pytest.mark.slow
def test_idle_connections_do_not_hurt_a_server_with_few_files(alone: Server) -> None:
    triton = alone.triton
    with ExitStack() as stack:
        connected(stack, alone.http_port, 300)
        assert [generate(alone.http_port, {"input_ids": [5], "max_tokens": 1})[0] for _ in range(3)] == [200] * 3
    with ExitStack() as stack:
        for connection in connected(stack, alone.http_port, 300):
            connection.sendall(b"GET /v2 HT")
        assert generate(alone.http_port, {"input_ids": [5], "max_tokens": 1})[0] in (200, 503)
    wait_until(lambda: generate(alone.http_port, {"input_ids": [5], "max_tokens": 1})[0] == 200, alone.log.read_text)
    assert alone.triton == triton
    assert "could not be accepted" not in alone.log.read_text()
    assert "Traceback" not in alone.log.read_text()


@pytest.mark.slow
def test_a_server_that_loses_its_files_keeps_its_backend(bundle: Path, tmp_path: Path) -> None:
    """The limit comes down once the server runs, so that its own cap on connections does not help."""
    with Server(bundle, tmp_path / "log", "--canary-timeout", "1") as server:
        triton = server.triton
        _, hard = before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (32, hard))
        with ExitStack() as stack:
            connected(stack, server.http_port, 100)
            wait_until(lambda: "could not be accepted" in server.log.read_text(), server.log.read_text)
            time.sleep(13)  # for canaries, one each 10 seconds
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        server.wait_ready()
        assert generate(server.http_port, {"input_ids": [5], "max_tokens": 1})[0] == 200
        assert server.triton == triton
        assert "Traceback" not in server.log.read_text()


def test_ipv6_and_ports_of_the_servers_choice(bundle: Path, tmp_path: Path) -> None:
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    server = Server(bundle, tmp_path / "log", "--host", "::1", "--grpc-host", "::1", *ports)
    try:
        wait_until(
            lambda: "ready: " in server.log.read_text() or server.process.poll() is not None, server.log.read_text
        )
        text = server.log.read_text()
        http_port, grpc_port, metrics_port = (
            int(number)
            for pattern in (
                r"HTTP     http://\[::1\]:(\d+)/",
                r"gRPC     \[::1\]:(\d+) ",
                r"127\.0\.0\.1:(\d+)/metrics",
            )
            for number in re.findall(pattern, text)
        )
        assert 0 not in (http_port, grpc_port, metrics_port)
        answer = exchange(http_port, b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n", "::1")
        assert answer.startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(("::1", grpc_port), timeout=SECONDS):
            pass
        assert ask(metrics_port, "GET", "/metrics").status == 200
    finally:
        server.kill()
