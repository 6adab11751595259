"""A caller that goes away, or whose time is over, while a gap is filled or a text revised."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.refusals import refused
from tests.server.server import Server, wait_until
from tests.server.wire import PATH, GrpcStream

SLOW = {"denoise_steps": 32, "threshold": 1.0}  # nothing is kept before its step
LONG: dict[str, dict[str, Any]] = {
    "gap": {"text_input": "a", "suffix": "b", "infill_tokens": 1024, **SLOW},
    "sizes": {"text_input": "a", "suffix": "b", "infill_lengths": [1000, 1020], **SLOW},
    "revision": {"text": "zqx " * 300, "accept": "always", "revise_threshold": 0.0, "revise_rounds": 16, **SLOW},
}
long = pytest.mark.parametrize("request_", LONG.values(), ids=LONG)


@pytest.fixture
def one_more_cancelled(server: Server) -> Iterator[None]:
    """After the test one more request was cancelled, and none runs."""
    server.settle()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    yield
    server.wait_metric("trimode_requests_total", cancelled + 1, outcome="cancelled")
    server.wait_metric("trimode_requests_running", 0)


def wait_running(server: Server) -> None:
    wait_until(lambda: server.metric("trimode_requests_running") > 0, lambda: "nothing runs")


@long
@pytest.mark.usefixtures("one_more_cancelled")
def test_leaving_cancels_over_grpc(server: Server, request_: dict[str, Any]) -> None:
    with GrpcStream(server.grpc_port) as stream:
        stream.send(request_)
        wait_running(server)


@long
@pytest.mark.usefixtures("one_more_cancelled")
def test_leaving_cancels_over_http(server: Server, request_: dict[str, Any]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", f"{PATH}/generate", json.dumps(request_))
        wait_running(server)


@long
def test_a_deadline_ends_it(server: Server, request_: dict[str, Any]) -> None:
    refused(server, {**request_, "timeout_ms": 50}, "deadline_exceeded", 504)
