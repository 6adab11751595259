"""Callers that hold an answer against the right one: it is whole and right, or ends with an error that has a type.

Knows the wire, nothing of what is done to the server meanwhile.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trimode.errors import ERROR_TYPES

from tests.server.server import Server
from tests.server.wire import GrpcStream, events, generate

SHORT: dict[str, Any] = {
    "text_input": "Once",
    "mode": "autoregressive",
    "max_tokens": 20,
    "end_id": -1,
    "return_finish_reason": True,
}
LONG: dict[str, Any] = {**SHORT, "max_tokens": 1500, "stream": True}
"""It takes a second or more, so that something can happen in the middle of it."""
CHAT: dict[str, Any] = {
    # a string, as gRPC needs it; HTTP takes it too. A short chat would not need the process that renders.
    "messages": json.dumps([{"role": "user", "content": "hello " * 400}]),
    "max_tokens": 5,
    "end_id": -1,
    "return_finish_reason": True,
}
SERVING_SECONDS = 60.0  # for a server to serve again, on a machine that does other things too


@dataclass
class Answer:
    """What came for one request: its text, and the error that ended it, or "" for an answer that is whole."""

    text: str = ""
    error: str = ""
    whole: bool = False

    @property
    def error_type(self) -> str:
        return self.error.partition(":")[0]

    def check(self, right: str) -> None:
        """Fail if the answer to a request that is in order is wrong, lost, or an error that blames the request."""
        if self.error:
            assert self.error_type in ERROR_TYPES, f"an error without a type: {self.error}"
            assert ERROR_TYPES[self.error_type].outcome != "invalid", f"a request in order was refused: {self.error}"
            assert right.startswith(self.text), "a wrong text before the error"
        else:
            assert self.whole, f"an answer was lost after {len(self.text)} characters"
            assert self.text == right, "a wrong answer"


def over_http(server: Server, request: dict[str, Any], on_start: Callable[[], None] = lambda: None) -> Answer:
    """Ask over HTTP, by events if the request streams; `on_start` is called with the first piece of the answer."""
    if not request.get("stream"):
        status, body = generate(server.http_port, request)
        if status != 200:
            return Answer(error=str(body.get("error", body)))
        return Answer(body["text_output"], whole=bool(body["finish_reason"]))
    return _collected(events(server.http_port, request), on_start)


def over_grpc(server: Server, request: dict[str, Any], on_start: Callable[[], None] = lambda: None) -> Answer:
    """Ask over a gRPC stream of its own; `on_start` is called with the first piece of the answer."""
    with GrpcStream(server.grpc_port) as stream:
        stream.send(request)
        return _collected(stream.answers(), on_start)


WAYS: dict[str, Callable[..., Answer]] = {"HTTP": over_http, "gRPC": over_grpc}


def _collected(parts: Iterator[dict[str, Any]], on_start: Callable[[], None]) -> Answer:
    answer = Answer()
    for part in parts:
        if "error" in part:
            answer.error = part["error"]
            break
        if not answer.text:
            on_start()
        answer.text += _plain(part.get("text_output", ""))
        answer.whole = answer.whole or bool(_plain(part.get("finish_reason", "")))
    return answer


def _plain(value: Any) -> str:
    one = value[0] if isinstance(value, list) else value
    return one.decode() if isinstance(one, bytes) else str(one)


class Asking:
    """A request whose answer has begun, in a thread of its own."""

    def __init__(self, server: Server, way: str, request: dict[str, Any] = LONG) -> None:
        begun = threading.Event()
        self._answer: list[Answer] = []
        self._thread = threading.Thread(
            target=lambda: self._answer.append(WAYS[way](server, request, begun.set)), daemon=True
        )
        self._thread.start()
        assert begun.wait(30), "no answer began"

    def answer(self) -> Answer:
        self._thread.join(300)  # the machine is busy, and the answer long
        assert self._answer, "an answer was lost"
        return self._answer[0]


class Crowd:
    """Callers that ask again and again, over both ways, until told to stop; every answer is checked.

    Attributes:
        answered, errors: how many answers were whole and right, and how many errors came, by type.
    """

    def __init__(self, server: Server, request: dict[str, Any], right: str, each: int = 2) -> None:
        self.answered = 0
        self.errors: Counter[str] = Counter()
        self._server, self._request, self._right = server, request, right
        self._over = threading.Event()
        self._wrong: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(way,), daemon=True) for way in WAYS.values() for _ in range(each)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(SERVING_SECONDS)
        if kind is None:
            assert not any(thread.is_alive() for thread in self._threads), "a caller never got an answer"
            assert self._wrong == [], self._wrong

    def _ask(self, way: Callable[..., Answer]) -> None:
        while not self._over.is_set() and not self._wrong:
            try:
                answer = way(self._server, self._request)
                answer.check(self._right)
            except BaseException as exc:
                self._wrong.append(exc)
                return
            with self._lock:
                if answer.error:
                    self.errors[answer.error_type] += 1
                else:
                    self.answered += 1
            if answer.error:
                time.sleep(0.05)


def seconds_to_serve(
    server: Server, way: str, right: str, since: float, request: dict[str, Any] | None = None
) -> float:
    """Ask `request`, SHORT if there is none, until a right answer comes; return the seconds since `since`.

    `since` is of time.monotonic().
    """
    deadline = since + SERVING_SECONDS
    while True:
        answer = WAYS[way](server, request or SHORT)
        answer.check(right)
        if not answer.error:
            return time.monotonic() - since
        assert time.monotonic() < deadline, f"after {SERVING_SECONDS:.0f} s still {answer.error}"
        time.sleep(0.02)
