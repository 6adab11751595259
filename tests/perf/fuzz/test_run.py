"""A fuzz of a server that is a script: what is counted, and whether a canary is right."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from trimode_client.local_server import Addresses
from trimode_perf.fuzz import run


class Script(BaseHTTPRequestHandler):
    """Answers every request with tokens; those of a canary may differ from time to time."""

    wrong = False
    asked = count()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        tokens = next(self.asked) if self.wrong and body == json.dumps(run.CANARY).encode() else 1
        content = json.dumps({"output_ids": [tokens]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Addresses]:
    monkeypatch.setattr(run, "CANARY_EVERY", 5)
    monkeypatch.setattr(run, "WEIGHTS", {"HTTP": 1, "OpenAI": 1})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Addresses(grpc="127.0.0.1:1", http=f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("wrong", [False, True])
def test_every_request_is_counted_and_each_fifth_is_followed_by_a_canary(
    at: Addresses, monkeypatch: pytest.MonkeyPatch, wrong: bool
) -> None:
    monkeypatch.setattr(Script, "wrong", wrong)
    found = run.measure(at, 3.0, seed=0)  # on a machine that is busy a request may take a while
    sent = sum(sum(words.values()) for words in found["outcomes"].values())
    assert sent > 5 and found["canaries"] == sent // 5
    assert found["faults"] == []
    assert (found["wrong_canaries"] > 0) is wrong


def test_the_command_line_says_what_it_does_by_default() -> None:
    options = run.parser().parse_args([])
    assert (options.minutes, options.seed) == (15.0, 0)
