"""One caller with many long requests, and others who want a short answer, each from an address of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server
from tests.server.wire import PATH, SECONDS, GrpcStream

SLOTS, PLACES = 2, 30
CLIENTS = 64
LONG = {"text_input": "Once upon a time", "mode": "autoregressive", "max_tokens": 400, "end_id": -1, "stream": False}
SHORT = {"text_input": "Hello", "mode": "autoregressive", "max_tokens": 2, "end_id": -1}


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of few slots that believes this machine's own address as a proxy's, and no other."""
    log = tmp_path_factory.mktemp("small") / "log"
    limits = {"TRIMODE_MAX_SLOTS": str(SLOTS), "TRIMODE_MAX_QUEUE": str(PLACES)}
    with Server(bundle, log, "--trusted-proxies", "127.0.0.1/32", **limits) as server:
        yield server


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


def over_openai(server: Server, source: str, **headers: str) -> dict[str, Any]:
    """Ask for the same over OpenAI's API."""
    body = {"model": "nano:autoregressive", "prompt": SHORT["text_input"], "max_tokens": SHORT["max_tokens"]}
    local = (source, 0)
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, SECONDS, source_address=local)) as line:
        line.request("POST", "/v1/completions", json.dumps(body), headers)
        answer: dict[str, Any] = json.loads(line.getresponse().read())
        return {"text_output": answer["choices"][0]["text"]} if "choices" in answer else answer


def over_grpc(server: Server, caller: str) -> dict[str, Any]:
    with GrpcStream(server.grpc_port, x_forwarded_for=caller) as stream:
        stream.send(SHORT)
        return next(stream.answers())


@pytest.mark.parametrize("greedy_over", ["HTTP", "gRPC", "OpenAI"])
def test_one_greedy_client_of_64_keeps_none_of_the_others_waiting(
    bundle: Path, tmp_path: Path, greedy_over: str
) -> None:
    """It sends as many long requests as there are clients; each of the others, one short one, over a way in turn."""
    limits = {"TRIMODE_MAX_SLOTS": str(SLOTS), "TRIMODE_MAX_QUEUE": str(4 * CLIENTS)}

    def ask(number: int) -> dict[str, Any]:
        caller = f"198.51.100.{number}"
        if number % 3 == 0:
            return over_grpc(server, caller)
        ask_over = over_http if number % 3 == 1 else over_openai
        return ask_over(server, "127.0.0.1", **{"X-Forwarded-For": caller})

    with Server(bundle, tmp_path / "log", "--trusted-proxies", "127.0.0.1/32", **limits) as server:
        with greedy(server, greedy_over), ThreadPoolExecutor(CLIENTS) as callers:
            server.wait_metric("trimode_requests_waiting", CLIENTS - SLOTS)
            answers = list(callers.map(ask, range(1, CLIENTS)))
            waiting = server.metric("trimode_requests_waiting")
        assert [answer for answer in answers if "text_output" not in answer] == []
        assert waiting > CLIENTS / 2  # of the greedy one's, which come after the others'
        assert server.stop() == 0


@contextmanager
def greedy(server: Server, over: str) -> Iterator[None]:
    """Hold as many long requests of one caller as there are clients; leave them at the end."""
    with ExitStack() as stack:
        if over == "gRPC":
            stream = stack.enter_context(GrpcStream(server.grpc_port))
            for _ in range(CLIENTS):
                stream.send(LONG)
        path, body = f"{PATH}/generate", LONG
        if over == "OpenAI":
            path = "/v1/completions"
            body = {"model": "nano:autoregressive", "prompt": "Once upon", "max_tokens": 400, "ignore_eos": True}
        for _ in range(0 if over == "gRPC" else CLIENTS):
            line = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.http_port, SECONDS)))
            line.request("POST", path, json.dumps(body))
        yield


def test_a_full_queue_is_full_for_the_caller_that_fills_it(small: Server) -> None:
    small.settle()
    with GrpcStream(small.grpc_port) as greedy:
        for _ in range(SLOTS + PLACES):
            greedy.send({**LONG, "max_tokens": 1900})  # the queue must still be full when another one asks
        small.wait_metric("trimode_requests_waiting", PLACES)
        assert over_http(small, "127.0.0.1")["error"].startswith(f"overloaded: {SLOTS} requests run and {PLACES} wait")
