"""A client that leaves ends its work."""

from __future__ import annotations

import http.client
import json
from contextlib import closing

import pytest

from tests.server.openai.asking import TEXT
from tests.server.server import Server


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_a_client_that_leaves_ends_its_work(server: Server, stream: bool, n: int) -> None:
    server.settle()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    body = {"model": "nano:autoregressive", "prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "n": n}
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", TEXT, json.dumps({**body, "stream": stream}))
        server.wait_metric("trimode_requests_running", n)
    server.wait_metric("trimode_requests_total", cancelled + n, outcome="cancelled")
    server.wait_metric("trimode_requests_running", 0)
