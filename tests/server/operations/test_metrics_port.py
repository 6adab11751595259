"""The port of metrics of a real server, in front of which Triton 2.51 would end by one large form."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tests.server.server import Server
from tests.server.wire import ask, generate

FORM = b"x=" + bytes(8 * 2**20)
TYPE = "Content-Type: application/x-www-form-urlencoded"  # the one by which Triton ends
HEAD = f"POST /metrics HTTP/1.1\r\nHost: x\r\n{TYPE}\r\nContent-Length: {len(FORM)}\r\n\r\n"
REQUEST = {"input_ids": [5], "max_tokens": 1}


def answers(server: Server) -> None:
    """The metrics and a request are answered, by the same tritonserver as before."""
    found = ask(server.metrics_port, "GET", "/metrics")
    assert found.status == 200 and b"trimode_requests_running" in found.text  # type: ignore[attr-defined]
    assert generate(server.http_port, REQUEST)[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/v2/logging", "/"])
def test_a_large_form_ends_nothing(server: Server, path: str) -> None:
    before = server.triton
    with socket.create_connection(("127.0.0.1", server.metrics_port), timeout=20) as caller:
        caller.sendall(HEAD.replace("/metrics", path, 1).encode() + FORM)
        status = caller.recv(65536).split()[1]
    assert status == (b"405" if path == "/metrics" else b"404")
    answers(server)
    assert server.triton == before


def test_idle_connections_and_half_sent_heads_keep_nobody_out(server: Server) -> None:
    before = server.triton
    with ExitStack() as stack:
        for number in range(200):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", server.metrics_port), timeout=20))
            if number % 2:
                caller.sendall(b"GET /metrics HT")
        answers(server)
    assert server.triton == before


def test_triton_itself_has_no_port(server: Server) -> None:
    assert [one for one in server.triton.net_connections("tcp") if one.status == "LISTEN"] == []
