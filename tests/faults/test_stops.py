"""A server is stopped again and again while callers hold open what they do not use: it ends in order each time."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.callers import SHORT, WAYS, Asking
from tests.faults.left import Belongings
from tests.server.server import Server
from tests.server.wire import GrpcStream

OPEN = 4
"""Idle connections of each kind: as many as a client with a pool or two has."""
STOPS, RECORDED_STOPS = 8, 20
"""How often it is stopped; each time takes three to six seconds. An end that hung did so in 5 of 30 stops."""


def keep_open(server: Server, stack: ExitStack, right: str) -> None:
    """Open idle gRPC streams and HTTP connections until the stack is left; every second stream has had an answer."""
    for number in range(OPEN):
        stream = stack.enter_context(GrpcStream(server.grpc_port))
        if number % 2:
            stream.send(SHORT)
            texts = [part["text_output"][0].decode() for part in stream.answers() if "text_output" in part]
            assert "".join(texts) == right
        kept = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)))
        kept.request("GET", "/v2/health/ready")
        with kept.getresponse() as answer:
            assert answer.status == 200
            answer.read()


@pytest.mark.usefixtures("record")
def test_a_server_ends_in_order_while_connections_are_open(
    bundle: Path,
    starter: Callable[..., Server],
    right: dict[str, str],
    stops: list[dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    recorded = request.config.getoption("--faults-record")
    for number in range(int(os.environ.get("FAULT_STOPS", RECORDED_STOPS if recorded else STOPS))):
        server = starter(bundle, "--exit-timeout", "60")
        with ExitStack() as stack:
            keep_open(server, stack, right["short"])
            asking = [Asking(server, way) for way in WAYS] if number % 2 else []
            belongings = Belongings.of(server)
            since = time.monotonic()
            status = server.stop()
            seconds = time.monotonic() - since
            for asked in asking:
                answer = asked.answer()
                answer.check(right["long"])
                assert answer.whole, answer.error
        assert status == 0, server.log.read_text()
        belongings.wait_gone()
        stops.append({"running": len(asking), "seconds": seconds, "status": status})
