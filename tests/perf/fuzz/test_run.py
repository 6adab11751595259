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
from trimode_perf.fuzz.faces import Fuzzer, Outcome


class Script(BaseHTTPRequestHandler):
    """Answers every request with tokens; those of a canary may differ from time to time."""

    wrong = False
    canary: bytes | None = None
    asked = count()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        tokens = next(self.asked) if self.wrong and body == json.dumps(run.CANARY).encode() else 1
        content = json.dumps({"output_ids": [tokens]}).encode() if self.canary is None else self.canary
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


@pytest.mark.parametrize(
    "content",
    [b'{"output_ids": [2]}', b"{}", b"[]", b"null", b"{", b""],
    ids=["other tokens", "no tokens", "a list", "null", "no JSON", "nothing"],
)
def test_a_canary_without_its_tokens_is_wrong_and_no_end_of_the_caller(
    at: Addresses, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    load = run.Load(at, 0)
    monkeypatch.setattr(Script, "canary", content)
    load._ask_canary()
    found = load.found()
    assert (found["canaries"], found["wrong_canaries"]) == (1, 1)


def test_faults_above_those_that_are_quoted_are_counted(at: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MOST_SHOWN", 2)
    load = run.Load(at, 0)
    for number in range(5):
        load._note("HTTP", Outcome("500", f"fault {number}"))
    found = load.found()
    assert (found["faults"], found["faults_not_shown"]) == (["HTTP: fault 0", "HTTP: fault 1"], 3)


def test_a_caller_that_dies_ends_the_run(at: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_: object) -> None:
        raise LookupError("gone")

    monkeypatch.setattr(Fuzzer, "by_http", dies)
    with pytest.raises(LookupError, match="gone"):
        run.measure(at, 3600.0, seed=0)


def test_the_command_line_says_what_it_does_by_default() -> None:
    options = run.parser().parse_args([])
    assert (options.minutes, options.seed) == (15.0, 0)
