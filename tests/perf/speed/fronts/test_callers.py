"""Callers that count what comes."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common.progress import MeasureError
from trimode_perf.speed.fronts import callers

from tests.support.kserve import Answer, Scene, Triton, play, response


class Events(BaseHTTPRequestHandler):
    """Answers /stream with two events, other paths with JSON, and an empty object with an error."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if asked else 400)
        self.send_header("Content-Type", "text/event-stream" if self.path == "/stream" else "application/json")
        self.end_headers()
        self.wfile.write(b"data: 1\n\ndata: 2\n\n" if self.path == "/stream" else b"{}")

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(("path", "count"), [("/stream", 2), ("/whole", 1)])
def test_events_or_the_answer_are_counted(path: str, count: int) -> None:
    server = HTTPServer(("127.0.0.1", 0), Events)
    with served(server), closing(callers.HttpCaller(f"127.0.0.1:{server.server_port}")) as http:
        assert http.ask(path, {"a": 1}).count == count


def test_an_http_caller_reaches_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "http")

    class OverSocket(Events):
        def address_string(self) -> str:
            return path

    with served(socketserver.UnixStreamServer(path, OverSocket)), closing(callers.HttpCaller(f"unix:{path}")) as http:
        assert http.ask("/stream", {"a": 1}).count == 2


def test_a_refusal_over_http_is_an_error() -> None:
    server = HTTPServer(("127.0.0.1", 0), Events)
    with (
        served(server),
        closing(callers.HttpCaller(f"127.0.0.1:{server.server_port}")) as http,
        pytest.raises(MeasureError, match="/whole answered 400"),
    ):
        http.ask("/whole", {})


def over_grpc(answer: Answer) -> list[callers.Taken | MeasureError]:
    """Ask twice over one stream, through the front."""
    found: list[callers.Taken | MeasureError] = []

    async def act(scene: Scene) -> None:
        await asyncio.to_thread(ask_twice, scene.address, found)

    play(act, lambda: Triton(answer))
    return found


def ask_twice(address: str, found: list[callers.Taken | MeasureError]) -> None:
    with closing(callers.GrpcCaller(address)) as caller:
        for _ in range(2):
            try:
                found.append(caller.ask(callers.message({"text_input": "x", "max_tokens": 3, "stream": True})))
            except MeasureError as exc:
                found.append(exc)


def test_responses_are_counted_up_to_the_last() -> None:
    one, other = over_grpc(lambda asked: [response("1", "a"), response("1", "b"), response("1", last=True)])
    assert isinstance(one, callers.Taken)
    assert isinstance(other, callers.Taken)
    assert (one.count, other.count) == (3, 3)
    assert one.seconds == one.first + one.rest


def test_an_error_over_grpc_is_an_error() -> None:
    one, _ = over_grpc(lambda asked: [response("1", error="overloaded: no", last=True)])
    assert isinstance(one, MeasureError)
    assert "overloaded: no" in str(one)


def test_no_answer_is_an_error() -> None:
    with pytest.raises(MeasureError, match="answered nothing"):
        callers.Taken.of([])
