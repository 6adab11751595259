"""A server that gets hurt: streams end with an error, it serves again, and it ends in order when asked.

The server here has two places and no queue. The tests run from top to bottom; the last ends it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.server.server import Server, runs, wait_until
from tests.server.wire import GrpcStream, events, generate

LONG: dict[str, Any] = {
    "text_input": "Once",
    "mode": "autoregressive",
    "max_tokens": 1500,
    "end_id": -1,
    "stream": True,
}
SHORT: dict[str, Any] = {**LONG, "max_tokens": 2, "stream": False}


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("small") / "log"
    patient = ("--exit-timeout", "120")  # for the stream that may finish, on a machine that does other things too
    with Server(bundle, log, *patient, TRIMODE_MAX_SLOTS="2", TRIMODE_MAX_QUEUE="0") as made:
        yield made
        made.kill()


def test_one_too_many_is_refused_at_once(small: Server) -> None:
    with GrpcStream(small.grpc_port) as one, GrpcStream(small.grpc_port) as two:
        for stream in (one, two):
            stream.send(LONG)
            next(stream.answers())
        status, body = generate(small.http_port, SHORT)
    assert (status, body["error"].partition(":")[0]) == (503, "overloaded")
    small.wait_metric("trimode_requests_total", 1, outcome="overloaded")


@pytest.mark.parametrize("hurt", [psutil.Process.kill, psutil.Process.suspend], ids=["kill", "halt"])
def test_streams_end_with_an_error_and_the_server_serves_again(
    small: Server, hurt: Callable[[psutil.Process], None]
) -> None:
    small.settle()
    with ExitStack() as stack:
        over_http = events(small.http_port, LONG)
        stack.callback(over_http.close)  # type: ignore[attr-defined]  # a generator
        stream = stack.enter_context(GrpcStream(small.grpc_port))
        stream.send(LONG)
        over_grpc = stream.answers()
        assert "text_output" in next(over_http)
        assert "text_output" in next(over_grpc)
        stub = small.stub
        hurt(stub)
        assert list(over_http)[-1]["error"].startswith("engine_failed: ")
        assert list(over_grpc)[-1]["error"].startswith("engine_failed: ")
    small.wait_ready()
    assert generate(small.http_port, SHORT)[0] == 200
    assert not runs(stub)
    assert small.stub != stub


def test_a_dead_server_process_is_replaced(small: Server) -> None:
    before = small.triton
    before.kill()
    wait_until(lambda: not small.ready(), lambda: "still ready")
    small.wait_ready()
    assert generate(small.http_port, SHORT)[0] == 200
    assert small.triton != before


def test_sigterm_lets_a_stream_finish(small: Server) -> None:
    stream = events(small.http_port, {**LONG, "max_tokens": 300, "return_finish_reason": True})
    next(stream)
    processes = [small.triton, small.stub]
    small.process.send_signal(signal.SIGTERM)
    assert list(stream)[-1]["finish_reason"] == "length"
    assert small.wait() == 0
    assert not any(runs(process) for process in processes)
    assert small.shared_memory() == []
