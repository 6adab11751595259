"""A caller that goes away frees its place, whichever way it came."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.server import Server
from tests.server.wire import PATH, GrpcStream, events

LONG: dict[str, Any] = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 1500, "end_id": -1}


@pytest.fixture(autouse=True)
def one_more_cancelled(server: Server) -> Iterator[None]:
    """After each test one more request was cancelled, and none runs."""
    server.settle()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    yield
    server.wait_metric("trimode_requests_total", cancelled + 1, outcome="cancelled")
    server.wait_metric("trimode_requests_running", 0)


def test_grpc_stream_cancelled(server: Server) -> None:
    with GrpcStream(server.grpc_port) as stream:
        stream.send({**LONG, "stream": True})
        assert "text_output" in next(stream.answers())


def test_grpc_cancelled_before_its_only_answer(server: Server) -> None:
    with GrpcStream(server.grpc_port) as stream:
        stream.send(LONG)
        server.wait_metric("trimode_requests_running", 1)


def test_event_stream_disconnected(server: Server) -> None:
    stream = events(server.http_port, {**LONG, "stream": True})
    assert "text_output" in next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_generate_disconnected(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", f"{PATH}/generate", json.dumps(LONG))
        server.wait_metric("trimode_requests_running", 1)


def test_event_stream_disconnected_before_its_only_event(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", f"{PATH}/generate_stream", json.dumps(LONG))
        server.wait_metric("trimode_requests_running", 1)


def test_nobody_cancels_the_request_of_another(server: Server) -> None:
    """Neither while it runs nor in advance, whatever name it has."""
    with GrpcStream(server.grpc_port) as stream, GrpcStream(server.grpc_port) as other:
        stream.send({**LONG, "stream": True}, request_id="mine")
        assert "text_output" in next(stream.answers())
        other.send({}, parameters={"cancel": "mine"})
        assert next(other.answers())["error"].startswith("unknown_field: cancel is not a field")
        assert "text_output" in next(stream.answers())
    # leaving the block cancelled the only request that there was
