"""One caller with many long requests, and others who want a short answer, each from an address of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server
from tests.server.wire import PATH, SECONDS, GrpcStream

SLOTS, PLACES = 2, 30
LONG = {"text_input": "Once upon a time", "mode": "autoregressive", "max_tokens": 400, "end_id": -1, "stream": False}
SHORT = {"text_input": "Hello", "mode": "autoregressive", "max_tokens": 2, "end_id": -1}


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of few slots that believes this machine's own address as a proxy's, and no other."""
    log = tmp_path_factory.mktemp("small") / "log"
    limits = {"TRIMODE_MAX_SLOTS": str(SLOTS), "TRIMODE_MAX_QUEUE": str(PLACES)}
    server = Server(bundle, log, "--trusted-proxies", "127.0.0.1/32", **limits)
    server.wait_ready()
    try:
        yield server
    finally:
        server.stop()


def over_http(server: Server, source: str, **headers: str) -> dict[str, Any]:
    """Ask for a short answer from an address of this machine."""
    local = (source, 0)
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, SECONDS, source_address=local)) as line:
        line.request("POST", f"{PATH}/generate", json.dumps(SHORT), headers)
        answer: dict[str, Any] = json.loads(line.getresponse().read())
        return answer


def test_a_greedy_caller_does_not_keep_others_waiting(small: Server) -> None:
    with GrpcStream(small.grpc_port) as greedy:
        for number in range(SLOTS + PLACES):
            greedy.send(LONG, request_id=f"long {number}")
        small.wait_metric("trimode_requests_waiting", PLACES)
        served = [
            over_http(small, "127.0.0.2"),
            over_http(small, "127.0.0.1", **{"X-Forwarded-For": "198.51.100.1"}),
            over_http(small, "127.0.0.3", **{"X-Forwarded-For": "198.51.100.1"}),
        ]
        with GrpcStream(small.grpc_port, x_forwarded_for="198.51.100.2") as stream:
            stream.send(SHORT)
            (last,) = stream.answers()
        assert small.metric("trimode_requests_waiting") > PLACES / 2  # the greedy one has more than half of it to go
        assert all("text_output" in answer for answer in [*served, last]), [served, last]
        results = [next(greedy.answers()) for _ in range(SLOTS + PLACES)]
    displaced = [answer for answer in results if "error" in answer]
    assert 1 <= len(displaced) <= len(served) + 1
    assert all("overloaded: the queue is full, and this request made room" in answer["error"] for answer in displaced)


def test_a_full_queue_is_full_for_the_caller_that_fills_it(small: Server) -> None:
    small.settle()
    with GrpcStream(small.grpc_port) as greedy:
        for _ in range(SLOTS + PLACES):
            greedy.send({**LONG, "max_tokens": 1900})  # the queue must still be full when another one asks
        small.wait_metric("trimode_requests_waiting", PLACES)
        assert over_http(small, "127.0.0.1")["error"].startswith(f"overloaded: {SLOTS} requests run and {PLACES} wait")
