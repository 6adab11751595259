"""SIGHUP: the server goes over to a bundle that was built again, and no answer is lost."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from trimode.bundle import digests
from trimode.bundle.manifest import MANIFEST, TOKENIZER

from tests.server.server import Server, wait_until
from tests.server.wire import GrpcStream, events, generate, send

LONG = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 1900, "end_id": -1}
ASKED = {"input_ids": [5, 6, 7], "mode": "autoregressive", "max_tokens": 48}


@pytest.fixture
def place(bundle: Path, tmp_path: Path) -> Path:
    """A bundle of this test's own."""
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def renewed(place: Path, tmp_path: Path) -> Iterator[Server]:
    yield from served(place, tmp_path / "log")


@pytest.fixture
def talkative(place: Path, tmp_path: Path) -> Iterator[Server]:
    """One that logs each request as it comes, and decodes one at a time."""
    yield from served(place, tmp_path / "log", "--log-level", "debug", TRIMODE_MAX_SLOTS="1")


def served(place: Path, log: Path, *options: str, **environment: str) -> Iterator[Server]:
    with Server(place, log, *options, **environment) as made:
        yield made


def name_of(server: Server) -> str:
    """The name of the model that OpenAI's face serves, "" while it cannot say."""
    with suppress(OSError, KeyError, ValueError):
        return str(json.loads(send(server.http_port, "GET", "/v1/models")[1])["data"][0]["id"])
    return ""


def rename(bundle: Path, name: str) -> None:
    """Give the model of a bundle another name."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["model"] = name
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def swap_tokens(bundle: Path, one: int, other: int) -> None:
    """Give a bundle another tokenizer, in which two ids have changed their texts; and another name."""
    vocabulary = json.loads((bundle / TOKENIZER).read_text(encoding="utf-8"))
    ids = vocabulary["model"]["vocab"]
    texts = {number: text for text, number in ids.items()}
    ids[texts[one]], ids[texts[other]] = other, one
    (bundle / TOKENIZER).write_text(json.dumps(vocabulary), encoding="utf-8")
    size = (bundle / TOKENIZER).stat().st_size
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][TOKENIZER] = size
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    rename(bundle, "swapped")


def break_graph(bundle: Path) -> None:
    """Give a bundle a graph of the size and the digest that it says, and which no engine can read."""
    graph = bundle / "model.onnx"
    graph.write_bytes(b"\xff" * graph.stat().st_size)


def replace(place: Path, change: Callable[[Path], None]) -> None:
    """Put a bundle in the place of the one that is served: the same but for `change`. That one is `former` then."""
    other, former = place.with_name("other"), place.with_name("former")
    shutil.copytree(place, other)
    change(other)
    digests.write(other)
    shutil.rmtree(former, ignore_errors=True)
    place.rename(former)
    other.rename(place)


def renew(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)


class Callers:
    """Two callers who ask one request after another, over HTTP and on one stream of gRPC, until they are stopped."""

    def __init__(self, server: Server) -> None:
        self.answers: list[Any] = []
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=call, daemon=True) for call in (self._by_http, self._by_grpc)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _by_http(self) -> None:
        while not self._over.is_set():
            status, found = generate(self._server.http_port, ASKED)
            self.answers.append(found.get("text_output", (status, found)))

    def _by_grpc(self) -> None:
        with GrpcStream(self._server.grpc_port) as stream:
            while not self._over.is_set():
                stream.send(ASKED)
                found = list(stream.answers())[-1]
                self.answers.append(found["text_output"][0].decode() if "text_output" in found else found)


def test_a_bundle_that_was_built_again_is_served_without_a_lost_answer(place: Path, renewed: Server) -> None:
    right = generate(renewed.http_port, ASKED)[1]["text_output"]
    first = renewed.triton.pid
    with Callers(renewed) as callers:
        wait_until(lambda: len(callers.answers) > 4, renewed.log.read_text, 60)
        for name in ("second", "third"):
            replace(place, partial(rename, name=name))
            renew(renewed)
            wait_until(lambda name=name: name_of(renewed) == name, renewed.log.read_text, 120)  # type: ignore[misc]
            wait_until(renewed.ready, renewed.log.read_text, 120)
            seen = len(callers.answers)
            wait_until(lambda seen=seen: len(callers.answers) > seen + 4, renewed.log.read_text, 60)  # type: ignore[misc]
    assert set(callers.answers) == {right}
    assert renewed.triton.pid != first
    assert "restart" not in renewed.log.read_text()


def test_a_bundle_that_cannot_be_served_leaves_the_former_one(place: Path, renewed: Server) -> None:
    first = renewed.triton.pid
    text = (place / MANIFEST).read_text(encoding="utf-8")
    (place / MANIFEST).write_text("{", encoding="utf-8")
    renew(renewed)
    wait_until(lambda: "the former bundle stays" in renewed.log.read_text(), renewed.log.read_text, 60)
    (place / MANIFEST).write_text(text, encoding="utf-8")
    assert generate(renewed.http_port, ASKED)[0] == 200
    assert renewed.triton.pid == first


WAITS_SECONDS = 300.0
"""For an answer that has to wait for those before it and for a start."""
HOLDING = 40
"""Long answers that a server gives one after the other: it is busy for minutes, or until their caller leaves."""
A, E = 192, 196
"""The ids that nano's tokenizer has for `a` and `e`."""


def complete(server: Server) -> tuple[int, str]:
    """Status, and the text or the error's code, of a completion of OpenAI's API."""
    asked = {"prompt": "a seat", "max_tokens": 24, "temperature": 0}
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=WAITS_SECONDS)) as connection:
        connection.request("POST", "/v1/completions", json.dumps(asked))
        answer = connection.getresponse()
        found = json.loads(answer.read())
    return answer.status, found["choices"][0]["text"] if answer.status == 200 else found["error"]["code"]


def test_a_bundle_with_another_tokenizer_reads_and_writes_by_its_own(place: Path, renewed: Server) -> None:
    found = generate(renewed.http_port, {**ASKED, "return_token_ids": True})[1]
    right, ids = found["text_output"], found["output_ids"]
    one, other = list(dict.fromkeys(ids))[:2]
    with Callers(renewed) as callers:
        wait_until(lambda: len(callers.answers) > 2, renewed.log.read_text, 60)
        replace(place, partial(swap_tokens, one=one, other=other))
        swapped = Tokenizer.from_file(str(place / TOKENIZER)).decode(ids)
        assert swapped != right
        renew(renewed)
        wait_until(lambda: name_of(renewed) == "swapped", renewed.log.read_text, 120)
        wait_until(renewed.ready, renewed.log.read_text, 120)
        wait_until(lambda: swapped in callers.answers[-2:], lambda: str(callers.answers[-2:]), 60)
    assert set(callers.answers) == {right, swapped}
    text = {"text_input": swapped, "mode": "autoregressive", "max_tokens": 8}
    tokens = {**text, "input_ids": Tokenizer.from_file(str(place / TOKENIZER)).encode(swapped).ids}
    del tokens["text_input"]
    assert generate(renewed.http_port, text)[1]["text_output"] == generate(renewed.http_port, tokens)[1]["text_output"]


def test_a_caller_of_openais_api_who_waits_over_the_change_is_answered_by_the_new_bundle(
    place: Path, talkative: Server
) -> None:
    log = talkative.log.read_text
    first = complete(talkative)
    assert first[0] == 200
    former = talkative.triton
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(lambda: list(events(talkative.http_port, {**LONG, "stream": True})))
        talkative.wait_metric("trimode_requests_running", 1)
        with GrpcStream(talkative.grpc_port) as holding:
            for _ in range(HOLDING):
                holding.send(LONG)
            wait_until(lambda: talkative.metric("trimode_requests_waiting") >= HOLDING // 2, log, 60)
            replace(place, partial(swap_tokens, one=A, other=E))
            renew(talkative)
            wait_until(lambda: "a new bundle: new requests wait" in log(), log, 60)
            waiting = threads.submit(complete, talkative)
            wait_until(lambda: log().count("POST /v1/completions") == 2, log, 60)
            assert talkative.triton == former  # so it came before the change
        found = waiting.result(WAITS_SECONDS)
        assert "error" not in running.result(WAITS_SECONDS)[-1]
    wait_until(talkative.ready, talkative.log.read_text, 120)
    assert found[0] == 200 and found != first
    assert found == complete(talkative)


def test_a_bundle_that_passes_the_checks_and_does_not_load_waits_for_a_sound_one(place: Path, renewed: Server) -> None:
    right = generate(renewed.http_port, ASKED)
    replace(place, break_graph)
    renew(renewed)
    wait_until(lambda: "restart 1 in " in renewed.log.read_text(), renewed.log.read_text, 120)
    status, answer = generate(renewed.http_port, ASKED)
    assert (status, answer["error"].partition(":")[0]) == (503, "unavailable")
    assert not renewed.ready()
    place.rename(place.with_name("broken"))
    place.with_name("former").rename(place)
    renew(renewed)
    wait_until(renewed.ready, renewed.log.read_text, 120)
    assert generate(renewed.http_port, ASKED) == right
